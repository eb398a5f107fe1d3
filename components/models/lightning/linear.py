"""One layer: logistic, softmax or linear regression."""

from __future__ import annotations

from torch import nn

from components.types.training import TrainingTask

PARAMETERS = ()


def build(task: TrainingTask) -> nn.Module:
    """Return the untrained network, from (n_rows, n_features) to (n_rows, n_outputs)."""
    layer = nn.Linear(task.spec.n_features, task.spec.n_outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
