"""Convolutions over one image, each followed by ReLU and pooling, and a dense output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from components.errors import ConfigError
from components.types.training import TrainingTask

PARAMETERS = {"hidden": (32, 64), "dropout": 0.0}
"""`hidden` holds the number of channels after each convolution."""


def build(task: TrainingTask) -> nn.Module:
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
    height, width, channels = task.spec.image_shape
    layers: list[nn.Module] = [_Image(task.spec.image_shape)]
    for n_channels in parameters["hidden"]:
        convolution = nn.Conv2d(channels, n_channels, 3, padding="same")
        nn.init.kaiming_uniform_(convolution.weight, nonlinearity="relu")
        if convolution.bias is not None:
            nn.init.zeros_(convolution.bias)
        layers += [convolution, nn.ReLU()]
        channels = n_channels
        if min(height, width) >= 2:
            height, width = height // 2, width // 2
            layers.append(nn.MaxPool2d(2))
    output = nn.Linear(height * width * channels, task.spec.n_outputs)
    nn.init.xavier_uniform_(output.weight)
    nn.init.zeros_(output.bias)
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(parameters["dropout"]), output)


class _Image(nn.Module):
    """Turns flat rows, in (height, width, channels) order, into images with the channels first."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self._shape = shape

    def forward(self, features: Tensor) -> Tensor:
        return features.reshape(-1, *self._shape).permute(0, 3, 1, 2)
