"""What a task says to the pipeline: its components, how they run, and where they write. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from components.types.training import TrainingTask

DEFAULT_BEAM = ("--direct_running_mode=in_memory", "--direct_num_workers=1")
"""Beam in this process: on one machine, more processes were far slower."""


@dataclass(frozen=True)
class Settings:
    """The keys of a training that are TFX's own."""

    schema_from: str
    """curated, infer or architecture."""
    beam: tuple[str, ...]
    """Pipeline arguments of Beam, for every component that runs on it."""
    trials: int
    """How many sets of hyper-parameters the Tuner tries; 0 for no Tuner."""


def read_settings(task: TrainingTask) -> Settings:
    """Return the settings of a task."""
    parameters = task.parameters
    beam = parameters["beam"]
    return Settings(
        schema_from=str(parameters["schema_from"]),
        beam=tuple(str(each) for each in beam) if isinstance(beam, tuple) and beam else DEFAULT_BEAM,
        trials=int(str(parameters["trials"])),
    )


def log_path(task: TrainingTask) -> Path:
    """Return the file that takes all that TFX, Beam and TensorFlow say; it holds times, so it is no output."""
    return Path("reports") / task.model / "tfx" / f"{task.training}.log"


def train_steps(task: TrainingTask) -> int:
    """Return how many batches all epochs are, in TFX's terms."""
    batch_rows = int(str(task.parameters["batch_size"]))
    return int(str(task.parameters["epochs"])) * -(-task.spec.rows["train"] // batch_rows)
