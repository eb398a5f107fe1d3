"""An architecture that is a TFX module: which of its functions replace ours."""

import dataclasses
import sys

import pytest

from components.errors import ConfigError
from components.training.tfx.user_module import find_functions


@pytest.fixture
def functions(tmp_path, monkeypatch, make_task):
    """Return what the pipeline calls when an architecture has some source."""
    monkeypatch.setattr("components.models.__path__", [str(tmp_path)])
    (tmp_path / "tfx").mkdir()

    def find(source, name):
        (tmp_path / "tfx" / f"{name}.py").write_text(source)
        for loaded in ("components.models.tfx", f"components.models.tfx.{name}"):
            monkeypatch.delitem(sys.modules, loaded, raising=False)
        return find_functions(dataclasses.replace(make_task(), kind="tfx", architecture=name))

    return find


def test_architecture_that_builds_a_network_leaves_all_functions_ours(functions):
    found = functions("def build(task):\n    return None\n", "plain")

    assert found.preprocessing_fn == "components.training.tfx.preprocessing.preprocessing_fn"
    assert found.tuner_fn == "components.training.tfx.tuner.tuner_fn"
    assert (found.own_preprocessing, found.schema) == (False, None)


def test_functions_of_a_module_replace_ours_each_for_itself(functions):
    found = functions("SCHEMA = 'feature { name: \"fare\" }'\ndef preprocessing_fn(inputs):\n    return {}\n", "own")

    assert found.preprocessing_fn == "components.models.tfx.own.preprocessing_fn"
    assert found.tuner_fn == "components.training.tfx.tuner.tuner_fn"
    assert found.own_preprocessing
    assert found.schema == 'feature { name: "fare" }'


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import nothing_of_this_name\n", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("def build(\n", "SyntaxError"),
        ("SCHEMA = {}\n", "SCHEMA is dict"),
    ],
)
def test_module_that_cannot_be_used_is_named_with_the_reason(functions, source, words):
    with pytest.raises(ConfigError) as error:
        functions(source, "broken")

    assert "components/models/tfx/broken.py" in str(error.value)
    assert words in str(error.value)
