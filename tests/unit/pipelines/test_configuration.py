from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import yaml

from components.errors import ConfigError, UnknownNameError
from pipelines.config import configuration_schema, load_model, model_names
from pipelines.project import project_problems

ROOT = Path(__file__).resolve().parents[3]


def rewrite(project: Path, change: Callable[[str], str]) -> None:
    path = project / "pipelines/configs/boxes.yaml"
    path.write_text(change(path.read_text()))


@pytest.mark.parametrize("model", model_names(ROOT))
def test_every_shipped_configuration_is_right(model: str) -> None:
    config = load_model(model, ROOT)
    assert len(config.trainings) == 3
    jsonschema.validate(yaml.safe_load(config.path.read_text()), configuration_schema())


def test_the_shipped_project_is_in_order() -> None:
    assert project_problems(ROOT) == []


def test_the_small_project_is_in_order(project: Path) -> None:
    assert project_problems(project) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("gates:", "gate:", r"unknown key `models.boxes.gate` \(did you mean `gates`\?\)"),
        ("{auc: 0.6}", "{}", "`models.boxes.gates.absolute`"),
        ("epochs: 60", "epoch: 60", r"unknown key `trainings.boxes-keras.epoch` \(did you mean `epochs`\?\)"),
        ("kind: keras,", "kind: keras, backend: theano,", "trainings.boxes-keras.backend"),
        ("boxes-keras:", "other-keras:", "must begin with `boxes-`"),
        ("boxes-keras:", "boxes.keras:", "lower-case letters"),
        ("{model: boxes, kind: keras", "{model: wine, kind: keras", "model is `wine`, but this file holds `boxes`"),
        ("models:\n  boxes:", "models:\n  crates:", "must hold exactly `boxes`"),
        ("trainings:", "training:", r"unknown key `training` \(did you mean `trainings`\?\)"),
    ],
)
def test_a_wrong_configuration_is_answered_with_the_keys_path(project: Path, old: str, new: str, words: str) -> None:
    rewrite(project, lambda text: text.replace(old, new))
    with pytest.raises(ConfigError, match=words):
        load_model("boxes", project)


def test_an_unknown_model_is_answered_with_the_nearest(project: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"no model `boxs` \(did you mean `boxes`\?\)"):
        load_model("boxs", project)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), {"boxes-sklearn", "boxes-keras"}),
        (("keras",), {"boxes-keras"}),
        (("boxes-sklearn", "keras"), {"boxes-sklearn", "boxes-keras"}),
    ],
)
def test_trainings_are_chosen_by_name_or_kind(project: Path, words: tuple[str, ...], expected: set[str]) -> None:
    assert set(load_model("boxes", project).select(words)) == expected


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("architecture: mlp", "architecture: mpl", "mpl"),
        ("kind: keras", "kind: kears", "kears"),
        ("epochs: 60", "epochs: 60, options: {width: 3}", "width"),
    ],
)
def test_the_project_check_finds_what_a_single_file_cannot_show(project: Path, old: str, new: str, words: str) -> None:
    rewrite(project, lambda text: text.replace(old, new))
    problems = project_problems(project)
    assert len(problems) >= 1
    assert words in problems[0]


def test_the_project_check_finds_a_model_that_dvc_does_not_see(project: Path) -> None:
    (project / "dvc.yaml").write_text("vars:\n  - pipelines/configs/gone.yaml\nstages: {}\n")
    problems = project_problems(project)
    assert "add `- pipelines/configs/boxes.yaml` under `vars`" in problems[0]
    assert "gone.yaml` under `vars` is not there" in problems[1]


def test_the_project_check_finds_a_missing_suite(project: Path) -> None:
    (project / "data/boxes/expectations.json").unlink()
    assert "towpath suite propose boxes" in project_problems(project)[0]
