"""A column as a small picture: counts of its values, drawn as inline SVG. Knows nothing of expectations."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

BINS = 24
TOP_VALUES = 8
WIDTH, HEIGHT = 220, 60
"""Pixels."""


@dataclass(frozen=True)
class Histogram:
    """Bars from left to right, and what to write below them."""

    column: str
    counts: tuple[int, ...]
    labels: tuple[str, ...]
    """One per bar: shown when the mouse rests on it."""
    low: str
    high: str
    missing: int


def histogram(column: pl.Series) -> Histogram:
    """Return the histogram of a column: ranges of numbers and times, or the most frequent strings."""
    import polars as pl

    if column.dtype == pl.String or column.dtype == pl.Boolean:
        return _of_values(column)
    if column.dtype.is_float():
        column = column.fill_nan(None)
    present = column.drop_nulls()
    if not len(present):
        return Histogram(column.name, (), (), "", "", len(column))
    numbers = present.cast(pl.Int64).cast(float) if column.dtype.is_temporal() else present.cast(float)
    return _of_numbers(column, present, numbers)


def svg(picture: Histogram) -> str:
    """Return a histogram as an SVG element, without script, style sheet or reference."""
    if not picture.counts:
        return ""
    highest, width = max(picture.counts), WIDTH / len(picture.counts)
    bars = []
    for place, (count, label) in enumerate(zip(picture.counts, picture.labels, strict=True)):
        tall = max(HEIGHT * count / highest, 1.0 if count else 0.0)
        bars.append(
            f'<rect x="{place * width:.1f}" y="{HEIGHT - tall:.1f}" width="{max(width - 1, 1):.1f}" '
            f'height="{tall:.1f}"><title>{escape(label)}: {count}</title></rect>'
        )
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img">'
    return f"{head}<title>{escape(picture.column)}</title>{''.join(bars)}</svg>"


def _of_values(column: pl.Series) -> Histogram:
    import polars as pl

    counts = column.drop_nulls().cast(pl.String).rename("value").value_counts(name="rows")
    counts = counts.sort("rows", "value", descending=[True, False])
    top = counts.head(TOP_VALUES).rows()
    rest = int(counts["rows"].slice(TOP_VALUES).sum())
    labels = [_short(value) for value, _ in top] + ([f"{len(counts) - TOP_VALUES} others"] if rest else [])
    bars = [rows for _, rows in top] + ([rest] if rest else [])
    low, high = (labels[0], labels[-1]) if labels else ("", "")
    return Histogram(column.name, tuple(bars), tuple(labels), low, high, column.null_count())


def _of_numbers(column: pl.Series, present: pl.Series, numbers: pl.Series) -> Histogram:
    import numpy as np

    finite = numbers.filter(numbers.is_finite()).to_numpy()
    if not len(finite):
        return Histogram(column.name, (), (), "", "", column.null_count())
    if len(distinct := np.unique(finite)) <= BINS:
        counts = [int((finite == value).sum()) for value in distinct]
        labels = [f"{value:g}" for value in distinct]
    else:
        found, edges = np.histogram(finite, bins=BINS)
        counts = [int(count) for count in found]
        labels = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges)]
    low, high = (
        (str(present.min()), str(present.max()))
        if column.dtype.is_temporal()
        else (f"{finite.min():.6g}", f"{finite.max():.6g}")
    )
    return Histogram(column.name, tuple(counts), tuple(labels), low, high, column.null_count())


def _short(value: str) -> str:
    return value if len(value) <= 24 else value[:23] + "…"
