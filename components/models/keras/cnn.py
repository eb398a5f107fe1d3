"""Convolutions over one image, each followed by ReLU and pooling, and a dense output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from components.errors import ConfigError
from components.types.training import TrainingTask

PARAMETERS = {"hidden": (32, 64), "dropout": 0.0}
"""`hidden` holds the number of channels after each convolution."""


def build(task: TrainingTask) -> Any:
    """Return the untrained network, from (n_rows, n_features), the flat image, to (n_rows, n_outputs).

    Raises:
        ConfigError: the features are no image.
    """
    parameters: Mapping[str, Any] = task.parameters
    if task.spec.image_shape is None:
        raise ConfigError(
            f"training {task.training}: architecture `cnn` needs an image, and the features of {task.model} are none; "
            "choose mlp or linear, or declare `features.images` and prepare again"
        )
    height, width, _ = task.spec.image_shape
    network = keras.Sequential([keras.Input((task.spec.n_features,), name="features")], name="cnn")
    network.add(keras.layers.Reshape(task.spec.image_shape, name="image"))
    for index, channels in enumerate(parameters["hidden"]):
        convolution = keras.layers.Conv2D(
            channels, 3, padding="same", activation="relu", kernel_initializer="he_uniform", name=f"convolution_{index}"
        )
        network.add(convolution)
        if min(height, width) >= 2:
            height, width = height // 2, width // 2
            network.add(keras.layers.MaxPooling2D(2, name=f"pooling_{index}"))
    network.add(keras.layers.Flatten(name="flat"))
    if parameters["dropout"]:
        network.add(keras.layers.Dropout(parameters["dropout"], name="dropout"))
    network.add(keras.layers.Dense(task.spec.n_outputs, name="output"))
    return network
