"""Run the framework's processes: their environment, their time-out, and what became of them. Imports no framework."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from components.errors import StageFailedError, StageTimeoutError, error_from_json
from components.stage.process import ERROR_FILE
from components.training.core.doing import was_doing
from components.training.core.kinds import Runner

WORKER = "components.training.core.worker"
GRACE_S = 5.0
"""How long a process may take to end an epoch and store its state before it is killed."""

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


def run_worker(
    step: str, task_file: Path, runner: Runner, *, threads: int, seed: int, deadline_s: float, timeout_s: float
) -> None:
    """Run one step of a task in a process of its own, in this process's group.

    Args:
        step: ``fit`` or ``export``.
        task_file: What to do; the worker leaves its files beside it.
        runner: The kind's interpreter, and its variables.
        threads: How many cores the framework may use.
        seed: Of Python's hashes.
        deadline_s: When it must be done, on the monotonic clock.
        timeout_s: What that means in the configuration, for the message.

    Raises:
        TowpathError: the worker's own error.
        StageTimeoutError: it was not done in time, and was stopped.
        StageFailedError: it died without a word.
    """
    command = [str(runner.python), "-m", WORKER, step, str(task_file), str(os.getpid())]
    environment = _environment(runner, threads, seed)
    with _stopped_on_error(subprocess.Popen(command, env=environment)) as process:
        try:
            code = process.wait(max(deadline_s - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            raise StageTimeoutError(
                f"training {task_file.parent.name} ran past its time-out of {timeout_s:g} s and was stopped; run again "
                "to go on from its checkpoint, or raise `timeout_s`"
            ) from None
    if code:
        _raise_failure(step, task_file, code)


@contextmanager
def _stopped_on_error(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Leave no process behind: whatever is raised inside stops the worker and all its descendants."""
    try:
        yield process
    except BaseException:
        _stop(process)
        raise


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the worker to end (it stores its state after the epoch); kill it, and its descendants, if it does not."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    process.terminate()
    try:
        process.wait(GRACE_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()
        process.wait()
    for each in family:
        if each.is_running():
            each.kill()


def _environment(runner: Runner, threads: int, seed: int) -> dict[str, str]:
    """Return the environment that a framework must see before it is imported."""
    return {
        **os.environ,
        **dict.fromkeys(_THREAD_VARIABLES, str(threads)),
        "PYTHONHASHSEED": str(seed),
        "TF_CPP_MIN_LOG_LEVEL": "2",
        **runner.variables,
    }


def _raise_failure(step: str, task_file: Path, code: int) -> None:
    error_file = task_file.parent / ERROR_FILE
    if error_file.is_file():
        raise error_from_json(json.loads(error_file.read_text(encoding="utf-8")))
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    hint = "; the machine may be out of memory" if code == -signal.SIGKILL else ""
    where = was_doing(task_file.parent)
    raise StageFailedError(f"the {step} process of training {task_file.parent.name} {how} without a word{where}{hint}")
