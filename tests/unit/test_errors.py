import inspect

import pytest

from components import errors
from components.errors import TowpathError, error_from_json, error_to_json

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, TowpathError)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_survives_the_way_through_a_file(kind: type[TowpathError]) -> None:
    back = error_from_json(error_to_json(kind("column `fare` is missing")))
    assert type(back) is kind
    assert str(back) == "column `fare` is missing"


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_drawn_in_the_tree_with_its_exit_code(kind: type[TowpathError]) -> None:
    branch = next(base for base in (kind, *kind.__mro__) if base in (TowpathError, *TowpathError.__subclasses__()))
    drawing = errors.__doc__ or ""
    assert kind.__name__ in drawing
    assert f"{branch.__name__}" in drawing
    assert kind.exit_code == (130 if kind is errors.RunInterruptedError else branch.exit_code)


def test_exit_codes_are_those_that_scripts_rely_on() -> None:
    codes = {kind.__name__: kind.exit_code for kind in (TowpathError, *TowpathError.__subclasses__())}
    expected = {"TowpathError": 1, "BadInputError": 2, "ConflictError": 3, "RefusedError": 4, "FaultError": 1}
    assert codes == expected


def test_an_unknown_kind_of_error_is_a_fault() -> None:
    assert type(error_from_json({"kind": "NoSuchError", "message": "x"})) is errors.FaultError


def test_the_public_surface_is_the_tree_and_its_two_functions() -> None:
    assert set(errors.__all__) == {kind.__name__ for kind in KINDS} | {"error_from_json", "error_to_json"}
