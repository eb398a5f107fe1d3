"""The keys of a training: what is refused, and what a trainer is told."""

from pathlib import Path

import pytest
import yaml

from components.errors import ConfigError, UnknownNameError
from components.training.core.config import TfxSection, read_training, task_parameters

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = [
    (path.stem, training)
    for path in sorted((ROOT / "pipelines/configs").glob("*.yaml"))
    for training in yaml.safe_load(path.read_text()).get("trainings", {})
]


@pytest.fixture
def training(tmp_path):
    """Return what a training's keys become: its section and the parameters of its task."""
    (tmp_path / "components").symlink_to(ROOT / "components")

    def read(**keys):
        path = tmp_path / "pipelines/configs/taxi.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump({"models": {}, "trainings": {"t": {"model": "taxi", **keys}}}))
        section = read_training("taxi", "t", tmp_path)
        return section, task_parameters(section, "key `trainings.t`", tmp_path)

    return read


@pytest.mark.parametrize(("model", "training"), SHIPPED)
def test_shipped_training_is_valid(model, training):
    section = read_training(model, training, ROOT)

    assert task_parameters(section, training, ROOT)["seed"] == section.seed


@pytest.mark.parametrize("kind", ["sklearn", "keras", "lightning"])
def test_same_configuration_is_taken_by_every_kind(training, kind):
    keys = {"epochs": 5, "batch_size": 8, "learning_rate": 0.1, "hidden": [4], "patience": None, "weight_decay": 0.1}

    _, parameters = training(kind=kind, architecture="mlp", **keys)

    assert {name: parameters[name] for name in keys} == keys | {"hidden": (4,)}


def test_task_holds_only_what_is_used(training):
    _, parameters = training(kind="sklearn", architecture="linear")

    used = {"epochs", "weight_decay"}
    assert set(parameters) == used | {"seed", "threads", "timeout_s", "parity_bound", "checkpoint_every_s"}


def test_architecture_has_defaults_of_its_own(training):
    _, parameters = training(kind="sklearn", architecture="trees")

    assert (parameters["epochs"], parameters["options.leaves"]) == (100, 31)


def test_set_value_goes_before_the_architectures_default(training):
    _, parameters = training(kind="sklearn", architecture="trees", epochs=7, options={"leaves": 3})

    assert (parameters["epochs"], parameters["options.leaves"]) == (7, 3)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"epoch": 3}, ["trainings.t.epoch", "did you mean `epochs`?"]),
        ({"epochs": 0}, ["trainings.t.epochs", "greater than or equal to 1"]),
        ({"learning_rate": float("inf")}, ["trainings.t.learning_rate"]),
        ({"dropout": 1.0}, ["trainings.t.dropout"]),
        ({"hidden": [64, "wide"]}, ["trainings.t.hidden.1"]),
        ({"architecture": "../mlp"}, ["trainings.t.architecture"]),
        ({"dropout": 0.1}, ["`dropout` is not used"]),
    ],
)
def test_wrong_key_is_named_by_its_path(training, keys, words):
    with pytest.raises(ConfigError) as error:
        training(**{"kind": "sklearn", "architecture": "mlp", **keys})

    assert all(word in str(error.value) for word in words)


def test_keys_of_keras_are_its_own(training):
    section, parameters = training(kind="keras", architecture="mlp", backend="jax")
    assert section.kind == "keras"
    assert parameters["backend"] == "jax"

    with pytest.raises(ConfigError, match="backend"):
        training(kind="lightning", architecture="mlp", backend="jax")


@pytest.mark.parametrize("how", ["def run_fn(fn_args): ...", "from elsewhere import run_fn", "run_fn = print"])
def test_key_that_a_run_fn_of_ones_own_ignores_is_refused(tmp_path, how):
    (tmp_path / "components/training").mkdir(parents=True)
    (tmp_path / "components/training/tfx_trainer.py").symlink_to(ROOT / "components/training/tfx_trainer.py")
    (tmp_path / "components/models/tfx").mkdir(parents=True)
    (tmp_path / "components/models/tfx/own.py").write_text(f'PARAMETERS = ("epochs",)\n{how}\n')

    def parameters(**keys):
        section = TfxSection(model="taxi", kind="tfx", architecture="own", **keys)
        return task_parameters(section, "key `trainings.t`", tmp_path)

    assert parameters(epochs=7, trials=2)["epochs"] == 7
    for name, value in {"batch_size": 8, "learning_rate": 0.1, "patience": 3, "weight_decay": 0.1}.items():
        with pytest.raises(ConfigError, match=rf"`{name}` is not used, since .*own\.py trains by its own `run_fn`"):
            parameters(**{name: value})


def test_training_of_another_model_is_refused(training):
    with pytest.raises(ConfigError, match="'adult', expected 'taxi'"):
        training(model="adult", kind="sklearn", architecture="mlp")


def test_model_without_configuration_is_unknown(tmp_path):
    with pytest.raises(UnknownNameError):
        read_training("taxi", "t", tmp_path)


def test_missing_training_is_named(training, tmp_path):
    training(kind="sklearn", architecture="mlp")

    with pytest.raises(ConfigError, match="trainings.other"):
        read_training("taxi", "other", tmp_path)
