"""The types of columns that are text, decided over all rows. Reads no file."""

from __future__ import annotations

import polars as pl

from components.data.convert import iso_timestamp
from components.types.dataset import ColumnType

_LEADING_ZERO = r"^[+-]?0\d"
_NOT_WHOLE = r"[^0-9+-]"
_ORDER = (ColumnType.INT64, ColumnType.FLOAT64, ColumnType.BOOL, ColumnType.TIMESTAMP)


class ColumnEvidence:
    """What a column's values allow it to be; a type that one value contradicts never comes back."""

    def __init__(self) -> None:
        """Allow everything."""
        self._possible = set(_ORDER)
        self._only_whole = True
        self._any_value = False

    def add(self, texts: pl.Series) -> None:
        """Take more values into account; a column known to be a string costs nothing."""
        texts = texts.drop_nulls()
        if not self._possible or texts.is_empty():
            return
        self._any_value = True
        self._possible = {kind for kind in self._possible if _fits(texts, kind)}
        if self._only_whole and ColumnType.INT64 not in self._possible:
            self._only_whole = not texts.str.contains(_NOT_WHOLE).any()

    @property
    def type(self) -> ColumnType:
        """The narrowest type that holds all values; float64 without any value."""
        if not self._any_value:
            return ColumnType.FLOAT64
        for kind in _ORDER:
            if kind in self._possible and not (kind is ColumnType.FLOAT64 and self._only_whole):
                return kind
        return ColumnType.STRING


def _fits(texts: pl.Series, kind: ColumnType) -> bool:
    if kind in (ColumnType.INT64, ColumnType.FLOAT64):
        if texts.str.contains(_LEADING_ZERO).any():
            return False
        return texts.cast(pl.Int64 if kind is ColumnType.INT64 else pl.Float64, strict=False).null_count() == 0
    if kind is ColumnType.BOOL:
        return texts.str.to_lowercase().is_in(["true", "false"]).all()
    return iso_timestamp(texts).null_count() == 0
