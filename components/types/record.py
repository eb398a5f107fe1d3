"""Frozen dataclasses to JSON and back. Knows nothing of what the records mean.

Every record that crosses a process boundary goes through `dump` and `load`, so that a worker needs nothing but the
standard library to read its task.
"""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Mapping
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def dump(value: Any) -> Any:
    """Return `value` as plain JSON types; paths become strings, tuples lists, enums their values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: dump(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): dump(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [dump(item) for item in value]
    return value


def load(kind: type[T], payload: Any) -> T:
    """Return the record of type `kind` that `dump` wrote.

    Raises:
        ValueError: a field is missing, unknown, or of another type.
    """
    result: T = _load(kind, payload, kind.__name__)
    return result


def canonical_json(value: Any) -> str:
    """Return the one JSON text of `value`: sorted keys, no spaces; NaN is refused."""
    return json.dumps(dump(value), sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def read(kind: type[T], path: Path) -> T:
    """Return the record of type `kind` stored at `path` as JSON.

    Raises:
        ValueError: the file is not JSON, or not this record.
        OSError: the file cannot be read.
    """
    return load(kind, json.loads(path.read_text(encoding="utf-8")))


def _load(kind: Any, value: Any, where: str) -> Any:
    origin = get_origin(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        return _load_union(get_args(kind), value, where)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _load_dataclass(kind, value, where)
    if origin is tuple:
        (item, *_) = get_args(kind)
        return tuple(_load(item, each, f"{where}[{index}]") for index, each in enumerate(_is(list, value, where)))
    if origin is not None and issubclass(origin, Mapping):
        _, item = get_args(kind)
        return {key: _load(item, each, f"{where}.{key}") for key, each in _is(dict, value, where).items()}
    if isinstance(kind, type) and issubclass(kind, (Path, Enum)):
        return kind(_is(str, value, where))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return _is(kind, value, where)


def _load_union(choices: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in choices:
        return None
    exact = [choice for choice in choices if choice is type(value)]
    for choice in [*exact, *(c for c in choices if c is not type(None))]:
        try:
            return _load(choice, value, where)
        except ValueError:
            continue
    raise ValueError(f"{where}: {value!r} is none of {choices}")


def _load_dataclass(kind: type[Any], value: Any, where: str) -> Any:
    payload = _is(dict, value, where)
    hints, required = _shape(kind)  # type: ignore[arg-type]  # a class is hashable; mypy does not see it of type[Any]
    if unknown := sorted(payload.keys() - hints.keys()):
        raise ValueError(f"{where}: unknown field {unknown[0]!r}")
    if missing := sorted(required - payload.keys()):
        raise ValueError(f"{where}: field {missing[0]!r} is missing")
    return kind(**{name: _load(hints[name], item, f"{where}.{name}") for name, item in payload.items()})


@cache
def _shape(kind: type[Any]) -> tuple[Mapping[str, Any], frozenset[str]]:
    """Return the types of a record's fields, and the names of those it cannot do without; evaluating types is slow."""
    hints = get_type_hints(kind)
    fields = dataclasses.fields(kind)
    nothing = dataclasses.MISSING
    required = (each.name for each in fields if each.default is nothing and each.default_factory is nothing)
    return {each.name: hints[each.name] for each in fields}, frozenset(required)


def _is(kind: type[Any], value: Any, where: str) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool and kind is not object):
        raise ValueError(f"{where}: expected {kind.__name__}, found {value!r}")
    return value
