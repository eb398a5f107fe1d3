"""A CSV body to columns of plain values, by a product's column types. Knows nothing of HTTP."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from components.errors import SchemaError
from components.serving.columns import Leaf
from components.serving.input_plan import InputPlan
from components.types.dataset import ColumnType


def csv_columns(text: str, plan: InputPlan, most_rows: int) -> list[list[Any]]:
    """Return the columns of a CSV text with a header line, in the plan's order; an empty cell is a missing value.

    Reading stops one row after `most_rows`.

    Raises:
        SchemaError: it is no CSV, a column is unknown, missing or given twice, or a row is too short or too long.
    """
    try:
        reader = filter(None, csv.reader(io.StringIO(text, newline=""), strict=True))
        header, *rows = islice(reader, most_rows + 2)
    except ValueError:
        raise SchemaError("the CSV is empty; expected a header line and rows") from None
    except csv.Error as error:
        raise SchemaError(f"the body is not CSV: {error}") from None
    order = plan.order_of(header, plan.columns, "column")
    for index, row in enumerate(rows):
        if len(row) != len(header):
            raise SchemaError(f"row {index} has {len(row)} values, expected {len(header)}, as in the header")
    cells = list(zip(*rows, strict=True)) or [()] * len(header)
    return [[_typed(text, leaf) for text in cells[position]] for position, leaf in zip(order, plan.leaves, strict=True)]


def _typed(text: str, leaf: Leaf) -> Any:
    """Return a cell as its column's type; what cannot be read stays text, so that the column's check refuses it."""
    if not text:
        return None
    if leaf.type is ColumnType.STRING:
        return text
    if text.strip() != text or "_" in text:  # float(" 1_0 ") would read it
        return text
    try:
        return _READERS[leaf.type](text)
    except (ValueError, KeyError):
        return text


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _bool(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


_READERS: Mapping[ColumnType, Callable[[str], Any]] = {
    ColumnType.FLOAT64: _finite,
    ColumnType.INT64: int,
    ColumnType.BOOL: _bool,
}
