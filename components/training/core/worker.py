"""The framework's process: read a task file, fit or export, leave files. Knows nothing but the task and the framework.

    python -m components.training.core.worker fit|export TASK_FILE PARENT_PID

A failure leaves one sentence in ``error.json`` beside the task file. The process ends with its parent.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

from components.errors import StageCancelledError, StageFailedError, TowpathError, TrainingError, error_to_json
from components.stage.files import write_json
from components.stage.process import ERROR_FILE, die_with_parent
from components.training.core.architecture import DeclaredParameters
from components.training.core.kinds import load_export, load_trainer
from components.types import record
from components.types.training import TrainedModel, TrainingTask

TASK_FILE = "task.json"
TRAINED_FILE = "trained.json"


def main(step: str, task_file: Path, parent: int) -> int:
    """Do one step of a task, and return the exit code of the process."""
    threading.Thread(target=die_with_parent, args=(parent,), daemon=True, name="parent-watch").start()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    task = record.read(TrainingTask, task_file)
    parameters = DeclaredParameters(task.parameters, task.kind, task.architecture)
    try:
        STEPS[step](dataclasses.replace(task, parameters=parameters), task_file.parent)
    except BaseException as error:
        found = _as_towpath_error(error, task, step)
        write_json(task_file.parent / ERROR_FILE, error_to_json(found))
        return found.exit_code
    return 0


def _fit(task: TrainingTask, folder: Path) -> None:
    write_json(folder / TRAINED_FILE, load_trainer(task.kind).fit(task))


def _export(task: TrainingTask, folder: Path) -> None:
    trained = record.read(TrainedModel, folder / TRAINED_FILE)
    if trained.network is not None:
        load_export(task.kind)(task, trained.native, trained.network)


STEPS: dict[str, Callable[[TrainingTask, Path], None]] = {"fit": _fit, "export": _export}


def _as_towpath_error(error: BaseException, task: TrainingTask, step: str) -> TowpathError:
    """Return the one sentence for whatever ended the step; what is unexpected is printed whole as well."""
    if isinstance(error, TowpathError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return StageCancelledError(f"training {task.training} was interrupted; run again to go on from its checkpoint")
    traceback.print_exc()
    if isinstance(error, MemoryError):
        return StageFailedError(f"training {task.training} ran out of memory in its {step} step")
    words = " ".join(str(error).split())[:300]
    return TrainingError(
        f"training {task.training} failed in its {step} step ({task.kind}, architecture {task.architecture}): "
        f"{type(error).__name__}: {words}"
    )


if __name__ == "__main__":
    code = main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # a framework's threads must not keep, or crash, a process whose work is done
