"""What a Tuner may change of a task, and the task with what it found. Standard library only."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from components.training.core.architecture import DeclaredParameters
from components.types.training import Parameter, TrainingTask

LEARNING_RATE, DROPOUT, WIDTH_SCALE = "learning_rate", "dropout", "width_scale"


def hyperparameter_values(config: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the values in a configuration of `keras_tuner.HyperParameters`; none without a Tuner."""
    return dict(config["values"]) if config else {}


def apply_hyperparameters(task: TrainingTask, values: Mapping[str, Any]) -> TrainingTask:
    """Return the task with the values that a Tuner found, in place of the configured ones."""
    changed: dict[str, Parameter | None] = dict(task.parameters)
    for name in (LEARNING_RATE, DROPOUT):
        if name in values:
            changed[name] = float(values[name])
    if WIDTH_SCALE in values:
        changed["hidden"] = tuple(max(round(width * float(values[WIDTH_SCALE])), 1) for width in hidden_widths(task))
    return dataclasses.replace(task, parameters=DeclaredParameters(changed, task.kind, task.architecture))


def hidden_widths(task: TrainingTask) -> tuple[int, ...]:
    """Return the configured widths of the hidden layers."""
    widths = task.parameters["hidden"]
    return tuple(int(width) for width in widths) if isinstance(widths, tuple) else ()
