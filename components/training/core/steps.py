"""Fit and export a task on this machine, one process after the other. Knows nothing of products or stages."""

from __future__ import annotations

import time
from pathlib import Path

from components.stage.progress import note
from components.training.core.child import run_worker
from components.training.core.kinds import require_installed
from components.training.core.worker import TASK_FILE, TRAINED_FILE
from components.types import record
from components.types.training import TrainedModel, TrainingTask


def fit_and_export(task: TrainingTask, folder: Path, timeout_s: float) -> None:
    """Do what `folder`'s task file says, and leave the trainer's files there.

    Raises:
        MissingExtraError: what the kind needs is not installed.
        TowpathError: the trainer's own error.
        StageTimeoutError: it was not done in time, and was stopped.
        StageFailedError: its process died without a word.
    """
    deadline_s = time.monotonic() + timeout_s
    runner = require_installed(task.kind, note)
    for step in ("fit", "export"):
        run_worker(
            step,
            folder / TASK_FILE,
            runner,
            threads=task.threads,
            seed=task.seed,
            deadline_s=deadline_s,
            timeout_s=timeout_s,
        )
        if record.read(TrainedModel, folder / TRAINED_FILE).raw_product is not None:
            break
