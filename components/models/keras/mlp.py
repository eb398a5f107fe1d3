"""Dense layers with ReLU and dropout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from components.types.training import TrainingTask

PARAMETERS = ("hidden", "dropout")


def build(task: TrainingTask) -> Any:
    """Return the untrained network, from (n_rows, n_features) to (n_rows, n_outputs)."""
    parameters: Mapping[str, Any] = task.parameters
    network = keras.Sequential([keras.Input((task.spec.n_features,), name="features")], name="mlp")
    for index, width in enumerate(parameters["hidden"]):
        network.add(keras.layers.Dense(width, "relu", kernel_initializer="he_uniform", name=f"hidden_{index}"))
        if parameters["dropout"]:
            network.add(keras.layers.Dropout(parameters["dropout"], name=f"dropout_{index}"))
    network.add(keras.layers.Dense(task.spec.n_outputs, name="output"))
    return network
