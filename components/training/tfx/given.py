"""What TFX's functions are given, as ours understand it. Knows no component."""

from __future__ import annotations

import dataclasses
from typing import Any

from components.training.core.architecture import DeclaredParameters
from components.types import record
from components.types.training import TrainingTask


def task_of(fn_args: Any) -> TrainingTask:
    """Return the task that a component was given, ``fn_args.custom_config["task"]``."""
    task = record.load(TrainingTask, fn_args.custom_config["task"])
    parameters = DeclaredParameters(task.parameters, task.kind, task.architecture)
    return dataclasses.replace(task, parameters=parameters)


def with_width(task: TrainingTask, n_features: int) -> TrainingTask:
    """Return the task with as many features as Transform gives; a preprocessing of one's own may give others."""
    if n_features == task.spec.n_features:
        return task
    names = tuple(f"feature_{index}" for index in range(n_features))
    return dataclasses.replace(task, spec=dataclasses.replace(task.spec, feature_names=names, image_shape=None))
