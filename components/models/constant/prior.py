"""The shares of the classes in the train split, or the mean of its target: what any model has to beat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from components.types.training import TrainingTask

PARAMETERS = ()


def build(task: TrainingTask) -> Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]:
    """Return a function from the train target to the one output for all rows, float32 of shape (n_outputs,)."""

    def learn(target: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if not task.spec.classes:
            return np.array([target.mean()], dtype=np.float32)
        counts = np.bincount(target, minlength=len(task.spec.classes))
        return (counts / counts.sum()).astype(np.float32)

    return learn
