"""The label: a column, or an SQL expression over the columns of one row. Reads no file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from components.data.config import LabelSection
from components.data.convert import DTYPES, own_type
from components.data.schema import require_column
from components.errors import SchemaError
from components.types.dataset import ColumnType

_OTHER_ROWS = {"Agg", "AnonymousAgg", "Eval", "Explode", "Filter", "Gather", "Len", "Over", "Range", "Rolling", "Slice"}
_OTHER_ROWS |= {"Shift", "Sort", "SortBy", "SubPlan", "Window"}


@dataclass(frozen=True)
class Label:
    """A checked label."""

    name: str
    type: ColumnType
    expression: pl.Expr | None
    """None when the label is a column of the source."""
    inputs: tuple[str, ...]
    """Columns that give the label away."""
    drop_unlabelled: bool

    def add_to(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the frame with its label.

        Raises:
            SchemaError: the expression fails on a value.
        """
        if self.expression is None:
            return frame
        try:
            derived = frame.select(self.expression.alias(self.name)).to_series()
        except pl.exceptions.PolarsError as error:
            raise SchemaError(f"the expression of label `{self.name}` fails: {first_line(error)}") from error
        if derived.dtype.is_float():
            derived = derived.fill_nan(None)
        return frame.with_columns(derived.cast(DTYPES[self.type]))


def check_label(section: LabelSection, types: Mapping[str, ColumnType]) -> Label:
    """Return the label, checked against the columns that there are.

    Raises:
        SchemaError: the label, or a column of its expression, is not there; the expression cannot be used.
    """
    drop = section.unlabelled == "drop"
    if section.expression is None:
        require_column(section.name, types, "the label is")
        return Label(section.name, _label_type(section.name, types[section.name]), None, (), drop)
    if section.name in types:
        raise SchemaError(f"label `{section.name}` is derived, and the source has such a column; name it otherwise")
    expression = _parse(section)
    inputs = tuple(dict.fromkeys(expression.meta.root_names()))
    if not inputs:
        raise SchemaError(f"the expression of label `{section.name}` names no column: {section.expression}")
    for name in inputs:
        require_column(name, types, f"the expression of label `{section.name}` uses")
    for name in section.keep:
        require_column(name, inputs, "`label.keep` names")
    kind = _label_type(section.name, _result_type(expression, section, types))
    return Label(section.name, kind, expression, tuple(n for n in inputs if n not in section.keep), drop)


def first_line(error: Exception) -> str:
    """Return what a library's error says in its first line."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _parse(section: LabelSection) -> pl.Expr:
    try:
        expression = pl.sql_expr(section.expression or "")
        tree = json.loads(expression.meta.serialize(format="json"))
    except pl.exceptions.PolarsError as error:
        raise SchemaError(
            f"the expression of label `{section.name}` is not SQL: {first_line(error)}; found: {section.expression}"
        ) from error
    if found := sorted(_words(tree) & _OTHER_ROWS):
        raise SchemaError(
            f"the expression of label `{section.name}` looks at other rows ({found[0]}): {section.expression}; "
            "use the columns of one row only, as in `tips > 0.2 * fare`"
        )
    return expression


def _result_type(expression: pl.Expr, section: LabelSection, types: Mapping[str, ColumnType]) -> ColumnType:
    try:
        schema = pl.LazyFrame(schema={name: DTYPES[kind] for name, kind in types.items()})
        dtype = schema.select(expression.alias(section.name)).collect_schema()[section.name]
        return own_type(dtype) or ColumnType.FLOAT64
    except (pl.exceptions.PolarsError, TypeError) as error:
        raise SchemaError(
            f"the expression of label `{section.name}` does not fit the columns' types: {first_line(error)}"
        ) from error


def _label_type(name: str, kind: ColumnType) -> ColumnType:
    if kind is ColumnType.TIMESTAMP:
        raise SchemaError(f"label `{name}` is a timestamp; derive a class or a number by an expression")
    return kind


def _words(tree: Any) -> set[str]:
    """Return the names of all operations in a serialised expression."""
    if isinstance(tree, dict):
        inner = [_words(value) for key, value in tree.items() if key not in ("Column", "Literal")]
        return set(tree).union(*inner)
    if isinstance(tree, list):
        return set().union(*(_words(item) for item in tree))
    return {tree} if isinstance(tree, str) else set()
