"""Labels beside predictions, in the form that metrics and plots take. Knows neither files nor products."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.types.dataset import Task

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Scored:
    """The rows of a split with what the product said of them.

    For classification `label` and `predicted` are class indices (int64, (n_rows,)) in signature order and
    `probabilities` is float64 of shape (n_rows, n_classes); for regression both are float64 in the target's units and
    `probabilities` has no columns.
    """

    task: Task
    classes: tuple[str | int | bool, ...]
    label: Integers | Floats
    predicted: Integers | Floats
    probabilities: Floats

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.label)

    def take(self, rows: NDArray[np.bool_] | Integers) -> Scored:
        """Return some of the rows, by mask or by position."""
        return Scored(self.task, self.classes, self.label[rows], self.predicted[rows], self.probabilities[rows])
