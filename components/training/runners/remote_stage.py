"""``python -m components.training.runners.remote_stage TASK_FILE TIMEOUT_S``: a task's steps, on a node of a cluster.

It is to the node what the train stage is to the pipeline: a process group that ends with its parent, files of its call.
"""

from __future__ import annotations

import sys
from pathlib import Path

from components.stage.main import run_stage
from components.training.core.steps import fit_and_export
from components.types import record
from components.types.training import TrainingTask


def run_task(task_file: str, timeout_s: str) -> None:
    """Fit and export what the task file says.

    Raises:
        TowpathError: the trainer's own error.
    """
    path = Path(task_file)
    fit_and_export(record.read(TrainingTask, path), path.parent, float(timeout_s))


if __name__ == "__main__":
    raise SystemExit(run_stage("training", sys.argv[1:], "TASK_FILE TIMEOUT_S", run_task))
