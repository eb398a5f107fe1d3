"""The constant that names the keys a file uses, read without importing the file."""

import pytest

from components.errors import ConfigError
from components.training.core.declared import declared_parameters, resolve_parameters


@pytest.fixture
def declare(tmp_path):
    def read(source):
        path = tmp_path / "architecture.py"
        path.write_text(source)
        return declared_parameters(path)

    return read


def test_names_without_defaults_take_the_sections_default(declare):
    declared = declare("PARAMETERS = ('hidden',)")

    assert resolve_parameters({}, {"hidden": [3]}, declared, "t") == {"hidden": (3,)}


def test_file_is_not_run(declare):
    assert declare("raise SystemExit\nPARAMETERS = {'options.width': 3}") == {"options.width": 3}


@pytest.mark.parametrize("source", ["", "PARAMETERS = tuple(range(3))", "PARAMETERS = (1, 2)", "PARAMETERS = 'hidden'"])
def test_missing_or_computed_constant_is_refused(declare, source):
    with pytest.raises(ConfigError, match="PARAMETERS"):
        declare(source)


def test_name_without_any_default_must_be_set(declare):
    declared = declare("PARAMETERS = ('options.width',)")

    with pytest.raises(ConfigError, match="without a default"):
        resolve_parameters({}, {}, declared, "t")
    assert resolve_parameters({"options.width": 3}, {}, declared, "t") == {"options.width": 3}


@pytest.mark.parametrize(("default", "given"), [(1.5, 2), (None, "x"), ("a", "b"), (True, False)])
def test_option_of_its_defaults_type_is_taken(default, given):
    assert resolve_parameters({"options.x": given}, {}, {"options.x": default}, "t") == {"options.x": given}


@pytest.mark.parametrize(("default", "given"), [(1, 2.5), (1, True), (True, 1), ("a", 3), (1.5, True)])
def test_option_of_another_type_is_refused(default, given):
    with pytest.raises(ConfigError, match="expected"):
        resolve_parameters({"options.x": given}, {}, {"options.x": default}, "t")
