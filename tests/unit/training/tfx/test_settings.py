"""The keys of kind `tfx`: what they become for the pipeline, and what is refused."""

from pathlib import Path

import pytest
import yaml

from components.errors import ConfigError
from components.training.core.config import read_training, task_parameters
from components.training.tfx.settings import DEFAULT_BEAM, log_path, read_settings, train_steps

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture
def task_with(tmp_path, make_task):
    """Return the task of a training that was configured with some keys."""
    (tmp_path / "components").symlink_to(ROOT / "components")

    def make(**keys):
        path = tmp_path / "pipelines/configs/taxi.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        section = {"model": "taxi", "kind": "tfx", "architecture": "mlp", **keys}
        path.write_text(yaml.safe_dump({"models": {}, "trainings": {"t": section}}))
        return make_task(**task_parameters(read_training("taxi", "t", tmp_path), "key `trainings.t`", tmp_path))

    return make


def test_defaults_are_a_curated_schema_no_tuner_and_beam_in_this_process(task_with):
    settings = read_settings(task_with())

    assert (settings.schema_from, settings.trials, settings.beam) == ("curated", 0, DEFAULT_BEAM)


def test_options_of_beam_arrive_as_they_are(task_with):
    options = ["--runner=FlinkRunner", "--flink_master=localhost:8081"]

    assert read_settings(task_with(beam=options)).beam == tuple(options)


def test_slices_and_thresholds_reach_the_task_as_texts(task_with):
    parameters = task_with(slices=["company"], thresholds=["auc >= 0.9"]).parameters

    assert (parameters["slices"], parameters["thresholds"]) == (("company",), ("auc >= 0.9",))


def test_steps_are_all_batches_of_all_epochs(task_with):
    assert train_steps(task_with(epochs=5, batch_size=3)) == 10  # 4 rows are two batches


def test_log_is_no_output_of_the_stage(task_with):
    assert log_path(task_with()) == Path("reports/taxi/tfx/t.log")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"schema_from": "file"}, ["trainings.t.schema_from", "'curated', 'infer' or 'architecture'"]),
        ({"beam": ["runner=FlinkRunner"]}, ["trainings.t.beam.0"]),
        ({"trials": -1}, ["trainings.t.trials"]),
        ({"slice": ["company"]}, ["trainings.t.slice", "did you mean `slices`?"]),
        ({"backend": "jax"}, ["trainings.t.backend"]),
    ],
)
def test_wrong_key_is_named(task_with, keys, words):
    with pytest.raises(ConfigError) as error:
        task_with(**keys)

    assert all(word in str(error.value) for word in words)


def test_other_kinds_refuse_the_keys_of_tfx(task_with):
    with pytest.raises(ConfigError, match="beam"):
        task_with(kind="keras", beam=["--runner=FlinkRunner"])
