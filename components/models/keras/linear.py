"""One layer: logistic, softmax or linear regression."""

from __future__ import annotations

from typing import Any

import keras

from components.types.training import TrainingTask

PARAMETERS = ()


def build(task: TrainingTask) -> Any:
    """Return the untrained network, from (n_rows, n_features) to (n_rows, n_outputs)."""
    return keras.Sequential(
        [keras.Input((task.spec.n_features,), name="features"), keras.layers.Dense(task.spec.n_outputs, name="output")],
        name="linear",
    )
