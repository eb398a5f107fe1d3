"""What a task says to the pipeline, read from its flat parameters. Standard library only.

Parameters are scalars and tuples of scalars, so nested keys have a dot in their name, and bounds are JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from components.types.training import Parameter, TrainingTask

DEFAULT_BEAM = ("--direct_running_mode=in_memory", "--direct_num_workers=1")
"""Beam in this process: on one machine, more processes were far slower."""


@dataclass(frozen=True)
class Settings:
    """The keys of a training that are TFX's own."""

    schema_from: str
    """curated, infer or architecture."""
    beam: tuple[str, ...]
    """Pipeline arguments of Beam, for every component that runs on it."""
    slices: tuple[str, ...]
    """Columns whose values the Evaluator looks at one by one."""
    thresholds: Mapping[str, float]
    """Bounds on the Evaluator's metrics."""
    trials: int
    """How many sets of hyper-parameters the Tuner tries; 0 for no Tuner."""


def read_settings(task: TrainingTask) -> Settings:
    """Return the settings of a task."""
    parameters = task.parameters
    return Settings(
        schema_from=str(parameters["schema_from"]),
        beam=_texts(parameters["beam"]) or DEFAULT_BEAM,
        slices=_texts(parameters["evaluation.slices"]),
        thresholds=json.loads(str(parameters["evaluation.thresholds"])),
        trials=int(str(parameters["tuner.trials"])),
    )


def log_path(task: TrainingTask) -> Path:
    """Return the file that takes all that TFX, Beam and TensorFlow say; it holds times, so it is no output."""
    return Path("reports") / task.model / "tfx" / f"{task.training}.log"


def train_steps(task: TrainingTask) -> int:
    """Return how many batches all epochs are, in TFX's terms."""
    batch_rows = int(str(task.parameters["batch_size"]))
    return int(str(task.parameters["epochs"])) * -(-task.spec.rows["train"] // batch_rows)


def _texts(value: Parameter | None) -> tuple[str, ...]:
    return tuple(str(each) for each in value) if isinstance(value, tuple) else ()
