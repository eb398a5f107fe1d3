"""Measure the columns of the train split in one pass, in a fixed order, so that sums are the same from run to run.

Means and variances are combined batch by batch (Chan, Golub and LeVeque 1983, "Algorithms for computing the sample
variance"), which stays exact where a sum of squares would cancel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from components.errors import SchemaError
from components.features.selection import FeatureColumn
from components.features.splits import SIDES, Sides
from components.features.table import DatasetTable
from components.runtime.arrow_arrays import as_mask, floats
from components.types.dataset import Split

MOST_DISTINCT = 1_000_000
"""How many different values of a categorical column are counted before it is refused."""
_TRAIN = SIDES.index(Split.TRAIN)


@dataclass(frozen=True)
class FittedNumber:
    """A numeric column or flag, as the graph computes it: (x or `impute` - `mean`) / `scale`."""

    column: FeatureColumn
    impute: float
    mean: float
    scale: float
    marks_missing: bool
    """Whether it has a feature that is 1 where the value is missing."""
    largest: float
    """The largest absolute value in the train split."""


@dataclass(frozen=True)
class FittedCategory:
    """A categorical column, as the graph computes it: one feature per value, 1 where it is the value."""

    column: FeatureColumn
    values: tuple[str | int | float, ...]
    has_other: bool
    """Whether rare and unseen values have a feature in common; without rare ones it would be untrained."""
    marks_missing: bool


@dataclass(frozen=True)
class Fitted:
    """The statistics of all columns that have something to say."""

    numbers: tuple[FittedNumber, ...]
    categories: tuple[FittedCategory, ...]
    constant: tuple[str, ...]
    """Columns with one value in the whole train split; they are left out."""


@dataclass
class _Moments:
    """Count, mean, sum of squared differences, minimum and maximum per column, each of shape (n_columns,)."""

    n_columns: int
    rows: int = 0
    count: NDArray[np.float64] = field(init=False)
    mean: NDArray[np.float64] = field(init=False)
    squares: NDArray[np.float64] = field(init=False)
    low: NDArray[np.float64] = field(init=False)
    high: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.count, self.mean, self.squares = (np.zeros(self.n_columns) for _ in range(3))
        self.low, self.high = np.full(self.n_columns, np.inf), np.full(self.n_columns, -np.inf)

    def add(self, values: NDArray[np.float64]) -> None:
        """Add a batch of shape (n_columns, n_rows); NaN is missing."""
        with np.errstate(invalid="ignore", over="ignore"):  # what is too large is refused at the end, by name
            self._add(values)

    def _add(self, values: NDArray[np.float64]) -> None:
        present = ~np.isnan(values)
        count = present.sum(axis=1).astype(np.float64)
        mean = np.where(present, values, 0).sum(axis=1) / np.maximum(count, 1)
        squares = np.square(np.where(present, values - mean[:, None], 0)).sum(axis=1)
        self.count, self.mean, self.squares = combine((self.count, self.mean, self.squares), (count, mean, squares))
        self.low = np.minimum(self.low, np.where(present, values, np.inf).min(axis=1, initial=np.inf))
        self.high = np.maximum(self.high, np.where(present, values, -np.inf).max(axis=1, initial=-np.inf))
        self.rows += values.shape[1]


def combine(left: tuple[Any, Any, Any], right: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
    """Return count, mean and sum of squared differences of two parts together."""
    count = left[0] + right[0]
    share = np.divide(right[0], count, out=np.zeros_like(np.asarray(count, np.float64)), where=np.asarray(count) > 0)
    difference = right[1] - left[1]
    return count, left[1] + difference * share, left[2] + right[2] + np.square(difference) * left[0] * share


def fit(table: DatasetTable, columns: Sequence[FeatureColumn], sides: Sides) -> Fitted:
    """Return the statistics of `columns` on the train split.

    Raises:
        SchemaError: a categorical column has too many values, a flag others than 0 and 1, or a number is infinite.
    """
    numbers = [each for each in columns if each.kind != "categorical"]
    categories = [each for each in columns if each.kind == "categorical"]
    moments = _Moments(len(numbers))
    counts: list[Counter[Any]] = [Counter() for _ in categories]
    names = [each.name for each in (*numbers, *categories)]
    for first_row, batch in table.batches(names) if names else ():
        train = batch.filter(as_mask(sides[first_row : first_row + batch.num_rows] == _TRAIN))
        if numbers and train.num_rows:
            moments.add(np.stack([floats(train.column(each.name)) for each in numbers]))
        for column, counter in zip(categories, counts, strict=True):
            _count(column, train.column(column.name), counter)
    fitted = [_fit_number(table, sides, each, moments, index) for index, each in enumerate(numbers)]
    grouped = [_fit_category(column, counter) for column, counter in zip(categories, counts, strict=True)]
    telling = {each.column.name for each in (*fitted, *grouped) if each is not None}
    return Fitted(
        numbers=tuple(each for each in fitted if each),
        categories=tuple(each for each in grouped if each),
        constant=tuple(each.name for each in columns if each.name not in telling),
    )


def _count(column: FeatureColumn, values: Any, counter: Counter[Any]) -> None:
    for each in pc.value_counts(values):
        counter[each["values"].as_py()] += each["counts"].as_py()
    if len(counter) > MOST_DISTINCT:
        raise SchemaError(
            f"column `{column.name}` has more than {MOST_DISTINCT} different values; "
            "exclude it under `features.exclude`, or bring a coarser one"
        )


def _fit_number(
    table: DatasetTable, sides: Sides, column: FeatureColumn, moments: _Moments, index: int
) -> FittedNumber | None:
    count, mean, squares = moments.count[index], moments.mean[index], moments.squares[index]
    low, high = float(moments.low[index]), float(moments.high[index])
    missing = moments.rows - count
    if count == 0 or (low == high and not missing):
        return None
    if not np.isfinite([low, high, mean, squares]).all():
        raise SchemaError(f"column `{column.name}` holds values from {low:g} to {high:g}, too large to be scaled")
    if column.kind == "flag":
        if low < 0 or high > 1:
            raise SchemaError(f"column `{column.name}` holds {low:g} to {high:g}; a flag is 0 or 1")
        return FittedNumber(column, float(mean >= 0.5), 0.0, 1.0, bool(missing), high)
    largest = max(abs(low), abs(high))
    impute = {"mean": float(mean), "constant": column.fill}.get(column.impute)
    if impute is None:
        impute = _median(table, column.name, sides)
    if missing:
        _, mean, squares = combine((count, mean, squares), (missing, impute, 0.0))
        low, high = min(low, impute), max(high, impute)
    if low == high:
        # one number and gaps: only the gaps tell something, and dividing by infinity keeps the number's feature at 0
        return FittedNumber(column, impute, low, float("inf"), marks_missing=True, largest=largest)
    offset, scale = {
        "standard": (float(mean), float(np.sqrt(squares / moments.rows))),
        "minmax": (low, high - low),
        "none": (0.0, 1.0),
    }[column.scale]
    return FittedNumber(column, impute, offset, scale, bool(missing), largest)


def _median(table: DatasetTable, name: str, sides: Sides) -> float:
    chunks = []
    for first_row, batch in table.batches([name]):
        values = floats(batch.column(0))[sides[first_row : first_row + batch.num_rows] == _TRAIN]
        chunks.append(values[~np.isnan(values)])
    return float(np.median(np.concatenate(chunks)))


def _fit_category(column: FeatureColumn, counter: Counter[Any]) -> FittedCategory | None:
    missing = counter.pop(None, 0)
    frequent = sorted(
        (value for value, count in counter.items() if count >= column.min_count),
        key=lambda value: (-counter[value], value),
    )[: column.max_categories]
    has_other = len(frequent) < len(counter)
    if len(frequent) + has_other + bool(missing) < 2:
        return None
    return FittedCategory(column, tuple(sorted(frequent)), has_other, bool(missing))
