"""Read the label: its classes, or its mean and scale, and what the network learns of each row. Knows no feature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.errors import SchemaError
from components.features.splits import SIDES, Sides
from components.features.table import DatasetTable
from components.runtime.arrow_arrays import floats, numbers
from components.types.dataset import ColumnType, Split, Task

MOST_CLASSES = 1_000
_CLASS_TYPES = (ColumnType.STRING, ColumnType.INT64, ColumnType.BOOL)
_NUMBER_TYPES = (ColumnType.FLOAT64, ColumnType.INT64)
_REGRESSION_STRATA = 10


@dataclass(frozen=True)
class Label:
    """The label of every row."""

    classes: tuple[str | int | bool, ...]
    """Sorted; empty for regression."""
    values: NDArray[Any]
    """int64 class index, or float64 number, of shape (n_rows,)."""

    @property
    def strata(self) -> NDArray[Any]:
        """The stratum of each row: its class, or the tenth of the target it lies in."""
        if self.classes:
            return self.values
        limits = np.quantile(self.values, np.linspace(0, 1, _REGRESSION_STRATA + 1)[1:-1])
        return np.searchsorted(limits, self.values, side="right")


@dataclass(frozen=True)
class Target:
    """What the network learns."""

    values: NDArray[Any]
    """int64 class index, or float32 standardised number, of shape (n_rows,)."""
    mean: float
    scale: float
    class_weights: tuple[float, ...]


def read_label(table: DatasetTable, task: Task) -> Label:
    """Return the label of every row.

    Raises:
        SchemaError: its type or its number of classes does not fit the task, or a value is missing.
    """
    name = table.manifest.label_column
    kind = next(each.type for each in table.manifest.columns if each.name == name)
    expected = _CLASS_TYPES if task.is_classification else _NUMBER_TYPES
    if kind not in expected:
        allowed = " or ".join(each.value for each in expected)
        raise SchemaError(f"{table.path}: label `{name}` is {kind.value}; {task.value} needs {allowed}")
    column = table.column(name)
    if not task.is_classification:
        values = floats(column)
        if not np.isfinite(values).all():
            raise SchemaError(f"{table.path}: label `{name}` is infinite or not a number in some rows")
        return Label((), values)
    encoded = column.dictionary_encode()
    found = encoded.dictionary.to_pylist()
    wanted = "exactly 2" if task is Task.BINARY else f"2 to {MOST_CLASSES}"
    if not (2 <= len(found) <= MOST_CLASSES) or (task is Task.BINARY and len(found) != 2):
        raise SchemaError(f"{table.path}: label `{name}` has {len(found)} classes; {task.value} needs {wanted}")
    classes = tuple(sorted(found))
    index_of = {each: index for index, each in enumerate(classes)}
    indices = np.array([index_of[each] for each in found], np.int64)
    return Label(classes, indices[numbers(encoded.indices.cast(pa.int64()))])


def learn_target(label: Label, sides: Sides, balanced: bool, where: str) -> Target:
    """Return what the network learns, with statistics of the train split only.

    Raises:
        SchemaError: a class is missing in the train split, or the target is constant there.
    """
    train = label.values[sides == SIDES.index(Split.TRAIN)]
    if not label.classes:
        mean, scale = float(train.mean()), float(train.std())
        if not scale > 0:
            raise SchemaError(
                f"{where}: the target is {mean:g} in every row of the train split; nothing can be learned"
            )
        return Target(((label.values - mean) / scale).astype(np.float32), mean, scale, ())
    counts = np.bincount(train, minlength=len(label.classes))
    if not counts.all():
        absent = label.classes[int(np.argmin(counts))]
        raise SchemaError(
            f"{where}: class {absent!r} does not occur in the train split; bring more rows or merge classes"
        )
    weights = len(train) / (len(counts) * counts) if balanced else np.ones(len(counts))
    return Target(label.values, 0.0, 1.0, tuple(weights.tolist()))
