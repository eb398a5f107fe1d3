"""Which keys of the configuration a trainer and an architecture use, read from their source without importing it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.errors import ConfigError
from components.types.training import Parameter

CONSTANT = "PARAMETERS"
OPTION_PREFIX = "options."


def declared_parameters(path: Path) -> dict[str, Any]:
    """Return the names in a file's ``PARAMETERS`` with their own defaults; `Ellipsis` where it has none.

    Raises:
        ConfigError: the constant is missing, or is no literal tuple or mapping of names.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == CONSTANT for t in node.targets):
            return _names(node.value, path)
    raise ConfigError(
        f"{path} has no constant {CONSTANT}; add one that names the keys it uses, for example "
        f'{CONSTANT} = ("hidden", "dropout")'
    )


def defines(path: Path, name: str) -> bool:
    """Say whether a file has a function of some name, defined there, imported or assigned."""
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    return any(name in _bound(node) for node in tree.body)


def _bound(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef):
        return [node.name]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [each.asname or each.name for each in node.names]
    targets = node.targets if isinstance(node, ast.Assign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _names(value: ast.expr, path: Path) -> dict[str, Any]:
    try:
        literal = ast.literal_eval(value)
    except ValueError:
        literal = None
    if isinstance(literal, (tuple, list)) and all(isinstance(name, str) for name in literal):
        return dict.fromkeys(literal, ...)
    if isinstance(literal, dict) and all(isinstance(name, str) for name in literal):
        return literal
    raise ConfigError(f"{path}: {CONSTANT} must be a literal tuple of names, or a mapping from names to defaults")


def resolve_parameters(
    given: Mapping[str, Any], defaults: Mapping[str, Any], declared: Mapping[str, Any], where: str
) -> dict[str, Parameter | None]:
    """Return the parameters of a task: the declared keys, each with the given value or its default.

    Args:
        given: What the user set; options as ``options.<name>``.
        defaults: The section's own defaults.
        declared: What `declared_parameters` found in the trainer and the architecture, and the keys of every training.
        where: For messages, for example ``pipelines/configs/taxi.yaml: key `trainings.taxi-keras```.

    Raises:
        ConfigError: a key was set that nothing uses, a declared one has no value, or an option is of another type.
    """
    for name in given:
        if name not in declared:
            known = ", ".join(sorted(declared))
            raise ConfigError(f"{where}: `{name}` is not used by this kind and architecture; remove it (used: {known})")
    resolved: dict[str, Parameter | None] = {}
    for name, own in sorted(declared.items()):
        default = defaults.get(name, ...) if own is ... else own
        value = given.get(name, default)
        if value is ...:
            raise ConfigError(f"{where}: `{name}` is declared in {CONSTANT} without a default; set it, or give it one")
        if name in given and name.startswith(OPTION_PREFIX):
            _check_type(value, default, name, where)
        resolved[name] = tuple(value) if isinstance(value, list) else value
    return resolved


def _check_type(value: Any, default: Any, name: str, where: str) -> None:
    expected = type(default)
    fits = isinstance(value, expected) and isinstance(value, bool) == isinstance(default, bool)
    if default is None or default is ... or fits or (expected is float and type(value) is int):
        return
    raise ConfigError(f"{where}: `{name}` is {value!r}, expected {expected.__name__} as its default {default!r}")
