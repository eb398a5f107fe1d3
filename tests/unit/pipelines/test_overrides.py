from pathlib import Path

import pytest

from components.errors import BadInputError
from pipelines.config import load_model
from pipelines.overrides import Edit, edit_configuration


def text(project: Path) -> str:
    return (project / "pipelines/configs/boxes.yaml").read_text()


@pytest.mark.parametrize("key", ["keras.epochs", "boxes-keras.epochs", "trainings.boxes-keras.epochs"])
def test_an_override_is_an_edit_of_the_file(project: Path, key: str) -> None:
    before = text(project)
    assert edit_configuration("boxes", (f"{key}=5",), project) == [Edit("trainings.boxes-keras.epochs", 60, 5)]
    assert text(project) == before.replace("epochs: 60", "epochs: 5")


def test_a_new_key_and_a_section_of_the_model_can_be_set(project: Path) -> None:
    edit_configuration("boxes", ("features.class_weights=balanced", "sklearn.seed=3"), project)
    config = load_model("boxes", project)
    assert config.model.features.class_weights == "balanced"
    assert config.trainings["boxes-sklearn"].seed == 3
    assert "# a comment that stays" in text(project)


def test_a_dry_override_says_what_it_would_do_and_writes_nothing(project: Path) -> None:
    before = text(project)
    assert edit_configuration("boxes", ("keras.epochs=5",), project, dry=True)[0].after == 5
    assert text(project) == before


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("keras.epochs", "has no `=`"),
        ("keras=5", "names no value"),
        ("kears.epochs=5", r"no training or section `kears`"),
        ("keras.epochs=many", "epochs"),
        ("keras.epoch=5", r"did you mean `epochs`"),
        ("keras.epochs.more=5", "holds a value"),
        ("keras.epochs=[", "no YAML"),
    ],
)
def test_a_wrong_override_leaves_the_file_as_it_was(project: Path, assignment: str, words: str) -> None:
    before = text(project)
    with pytest.raises(BadInputError, match=words):
        edit_configuration("boxes", ("sklearn.seed=9", assignment), project)
    assert text(project) == before
