"""Cut a split into slices by the values of a column. Knows no metric.

The edges of a numeric column are quantiles of the split itself, so that every model is cut at the same places; a
number with no more distinct values than bins is cut by value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.evaluation.record.config import EvaluationSection
from components.evaluation.record.scored import Integers

MISSING = "(missing)"
OTHER = "(other)"


def slices(column: pa.Array, section: EvaluationSection) -> Iterator[tuple[str, Integers]]:
    """Give each slice's name and row positions; every row lies in exactly one."""
    missing = np.flatnonzero(_is_missing(column))
    kept = np.setdiff1d(np.arange(len(column)), missing)
    if _is_continuous(column, section):
        yield from _by_quantile(column.take(pa.array(kept)), kept, section)
    else:
        yield from _by_value(column.take(pa.array(kept)).to_pylist(), kept, section)
    if len(missing):
        yield MISSING, missing


def _is_continuous(column: pa.Array, section: EvaluationSection) -> bool:
    ordered = pa.types.is_floating(column.type) or pa.types.is_integer(column.type)
    return pa.types.is_timestamp(column.type) or (ordered and pc.count_distinct(column).as_py() > section.slice_bins)


def _is_missing(column: pa.Array) -> np.ndarray:
    found = pc.is_null(column, nan_is_null=True)
    return np.asarray(found.to_numpy(zero_copy_only=False))


def _by_quantile(column: pa.Array, rows: Integers, section: EvaluationSection) -> Iterator[tuple[str, Integers]]:
    is_time = pa.types.is_timestamp(column.type)
    numbers = pc.cast(column, pa.int64()) if is_time else column
    values = numbers.to_numpy(zero_copy_only=False).astype(np.float64)
    if len(values) == 0:
        return
    edges = np.unique(np.quantile(values, np.linspace(0, 1, section.slice_bins + 1)))
    where = np.searchsorted(edges[1:-1], values, side="right")
    names = [_edge(edge, column.type if is_time else None) for edge in edges]
    for index in range(max(1, len(edges) - 1)):
        chosen = rows[where == index]
        if len(edges) == 1:
            yield names[0], chosen
        elif len(chosen):
            closing = "]" if index == len(edges) - 2 else ")"
            yield f"[{names[index]}, {names[index + 1]}{closing}", chosen


def _edge(edge: float, timestamp: Any) -> str:
    if timestamp is None:
        return f"{edge:.6g}"
    return str(pc.cast(pa.scalar(round(edge)), timestamp).as_py())


def _by_value(values: list[Any], rows: Integers, section: EvaluationSection) -> Iterator[tuple[str, Integers]]:
    texts = np.array([str(value).lower() if isinstance(value, bool) else str(value) for value in values], dtype=object)
    names, counts = np.unique(texts, return_counts=True)
    ranked = sorted(zip(names.tolist(), counts.tolist(), strict=True), key=lambda each: (-each[1], each[0]))
    own = {name for name, count in ranked[: section.max_slice_values] if count >= section.min_slice_rows}
    for name in sorted(own):
        yield name, rows[texts == name]
    rest = rows[[name not in own for name in texts.tolist()]] if len(texts) else rows
    if len(rest):
        yield OTHER, rest
