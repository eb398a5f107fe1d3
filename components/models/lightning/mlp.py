"""Dense layers with ReLU and dropout."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from torch import nn

from components.types.training import TrainingTask

PARAMETERS = ("hidden", "dropout")


def build(task: TrainingTask) -> nn.Module:
    """Return the untrained network, from (n_rows, n_features) to (n_rows, n_outputs)."""
    parameters: Mapping[str, Any] = task.parameters
    layers: list[nn.Module] = []
    widths = [task.spec.n_features, *parameters["hidden"]]
    for n_inputs, n_outputs in pairwise(widths):
        dense = nn.Linear(n_inputs, n_outputs)
        nn.init.kaiming_uniform_(dense.weight, nonlinearity="relu")
        nn.init.zeros_(dense.bias)
        layers += [dense, nn.ReLU()]
        if parameters["dropout"]:
            layers.append(nn.Dropout(parameters["dropout"]))
    output = nn.Linear(widths[-1], task.spec.n_outputs)
    nn.init.xavier_uniform_(output.weight)
    nn.init.zeros_(output.bias)
    return nn.Sequential(*layers, output)
