"""One column of raw values to one array, every value checked. Knows nothing of requests and of other columns."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any, NamedTuple

import numpy as np

from components.errors import SchemaError
from components.serving.refusals import shown
from components.types.dataset import MISSING_STRING, ColumnType

Values = Sequence[Any]

_EXPECTED: Mapping[ColumnType, str] = {
    ColumnType.FLOAT64: "a number",
    ColumnType.INT64: "an integer of 64 bits",
    ColumnType.BOOL: "true or false",
    ColumnType.STRING: "a string",
}
_ACCEPTED: Mapping[ColumnType, frozenset[type]] = {
    ColumnType.FLOAT64: frozenset({float, int}),
    ColumnType.INT64: frozenset({int}),
    ColumnType.BOOL: frozenset({bool}),
    ColumnType.STRING: frozenset({str}),
}
_MISSING: Mapping[ColumnType, Any] = {ColumnType.FLOAT64: float("nan"), ColumnType.STRING: MISSING_STRING}
_INT64_MAX = 2**63 - 1


class Leaf(NamedTuple):
    """One column that a client fills: a table's column, or the values of one tensor."""

    name: str
    type: ColumnType
    nullable: bool
    row_width: int = 1
    """How many of its values make one row; more than 1 for an image given as one tensor."""


def checked_column(leaf: Leaf, values: Values) -> np.ndarray:
    """Return a column as an array of its type, with missing values as a product takes them.

    Raises:
        SchemaError: a value is of another type, or missing where none may be; the first one is named.
    """
    kinds = set(map(type, values))
    accepted = _ACCEPTED[leaf.type]
    if not kinds <= accepted:
        if not (leaf.nullable and leaf.type in _MISSING and kinds <= accepted | {NoneType}):
            raise _first_wrong(leaf, values)
        missing = _MISSING[leaf.type]
        values = [missing if value is None else value for value in values]
    if leaf.type is ColumnType.FLOAT64:
        return np.frombuffer(array("d", values))
    if leaf.type is ColumnType.STRING:
        if not leaf.nullable and MISSING_STRING in values:
            raise _first_wrong(leaf, [None if value == MISSING_STRING else value for value in values])
        return np.array(values, dtype=object)
    if leaf.type is ColumnType.BOOL:
        return np.array(values, dtype=np.bool_)
    try:
        return np.frombuffer(array("q", values), dtype=np.int64)
    except OverflowError:
        raise _first_wrong(leaf, [value if abs(value) <= _INT64_MAX else float(value) for value in values]) from None


def _first_wrong(leaf: Leaf, values: Values) -> SchemaError:
    accepted = _ACCEPTED[leaf.type]
    may_be_null = leaf.nullable and leaf.type in _MISSING
    for index, value in enumerate(values):
        if type(value) not in accepted and not (value is None and may_be_null):
            return _wrong(leaf, index, shown(value))
    raise AssertionError(f"no value of column {leaf.name} is wrong")


def _wrong(leaf: Leaf, index: int, found: str) -> SchemaError:
    expected = _EXPECTED[leaf.type]
    if found == "null":
        expected = f"{expected}, and this column was complete when the model was trained"
    elif leaf.nullable and leaf.type in _MISSING:
        expected = f"{expected} or null"
    return SchemaError(f"row {index // leaf.row_width}, column `{leaf.name}`: expected {expected}, found {found}")
