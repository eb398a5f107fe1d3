"""A column's bins, and expressions that count rows into them. Knows neither training nor serving.

Numbers are counted in 10 quantile bins of the training rows; texts, truths and numbers of few values by value. The last
bin of every column is for what is missing. Counting is sums of comparisons, which polars' streaming engine computes in
one pass over any number of columns and in memory that does not grow with the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from components.judge import psi
from components.types.dataset import ColumnType

if TYPE_CHECKING:
    import polars as pl

MOST_VALUES = 20
"""The most frequent texts have a bin each, all others share one."""
FEW_VALUES = 10
"""Numbers of no more values than this are counted by value: quantiles of them repeat."""
OTHER, MISSING = "(other)", "(missing)"

Value = str | int | float | bool


@dataclass(frozen=True)
class Bins:
    """How a column is counted: by `edges` or by `values`, of which one is empty."""

    edges: tuple[float, ...]
    """Inner edges, ascending; a number on an edge belongs to the bin below it."""
    values: tuple[Value, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """One per bin."""
        if self.values:
            return (*map(str, self.values), OTHER, MISSING)
        if not self.edges:
            return (OTHER, MISSING)
        between = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(self.edges)]
        return (f"up to {self.edges[0]:.4g}", *between, f"above {self.edges[-1]:.4g}", MISSING)


def find_bins(column: pl.Series, kind: ColumnType) -> Bins:
    """Return the bins that training rows give.

    Args:
        column: The training rows; NaN and null are missing.
        kind: What the product takes; an image's mean is a float64.
    """
    present = (column.fill_nan(None) if column.dtype.is_float() else column).drop_nulls()
    is_number = kind in (ColumnType.FLOAT64, ColumnType.INT64)
    if is_number and present.n_unique() > FEW_VALUES:
        return Bins(tuple(float(edge) for edge in psi.edges(present.to_numpy())), ())
    counted = present.rename("value").value_counts(name="rows").sort("rows", "value", descending=[True, False])
    return Bins((), tuple(counted["value"].head(MOST_VALUES).to_list()))


def count_into(bins: Bins, value: pl.Expr, kind: ColumnType, name: str) -> list[pl.Expr]:
    """Return expressions whose sums `counts_of` reads, in columns called after `name`."""
    import polars as pl

    if kind is ColumnType.FLOAT64:
        value = pl.when(value.is_finite()).then(value)
    found = [value.count().alias(f"{name}:n")]
    if bins.values:
        return found + [(value == each).sum().alias(f"{name}:{place}") for place, each in enumerate(bins.values)]
    return found + [(value <= edge).sum().alias(f"{name}:{place}") for place, edge in enumerate(bins.edges)]


def counts_of(bins: Bins, sums: dict[str, Any], name: str, rows: int) -> tuple[int, ...]:
    """Return how many rows each bin has."""
    present = int(sums[f"{name}:n"] or 0)
    found = [int(sums[f"{name}:{place}"] or 0) for place in range(len(bins.values or bins.edges))]
    if bins.values:
        return (*found, present - sum(found), rows - present)
    return (*_differences([0, *found, present]), rows - present)


def _differences(reached: Sequence[int]) -> list[int]:
    return [high - low for low, high in pairwise(reached)]
