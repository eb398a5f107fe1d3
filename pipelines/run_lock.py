"""One run of a model at a time on this machine, and who holds that right. Knows nothing of what a run does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.errors import AlreadyRunningError
from pipelines.state import LOCKS

_START_WAIT_S = 1.0
"""Whoever only looks holds the lock for a moment; a run that begins just then waits for it."""
_LOOK_WAIT_S = 0.2
"""So do others who look."""


@contextmanager
def alone(model: str, root: Path = Path()) -> Iterator[None]:
    """Hold the model's lock, and write down which process does; it ends with this process.

    Raises:
        AlreadyRunningError: another run of the model is going on.
    """
    with _locked(model, root, _START_WAIT_S):
        _holder(model, root).write_text(str(os.getpid()))
        yield


def require_not_running(model: str, root: Path = Path()) -> None:
    """Check that no run of the model is going on.

    Raises:
        AlreadyRunningError: one is.
    """
    if (root / LOCKS / f"run-{model}.lock").exists():
        with _locked(model, root, _LOOK_WAIT_S):
            pass


def is_running(model: str, root: Path = Path()) -> bool:
    """Return whether a run of the model is going on, on this machine."""
    try:
        require_not_running(model, root)
    except AlreadyRunningError:
        return True
    return False


@contextmanager
def _locked(model: str, root: Path, wait_s: float) -> Iterator[None]:
    from filelock import FileLock, Timeout

    (root / LOCKS).mkdir(parents=True, exist_ok=True)
    lock = FileLock(root / LOCKS / f"run-{model}.lock")
    try:
        lock.acquire(timeout=wait_s)
    except Timeout as error:
        path = _holder(model, root)
        holder = path.read_text() if path.is_file() else "unknown"
        raise AlreadyRunningError(
            f"another run of {model} is going on (process {holder}); wait for it or stop it"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _holder(model: str, root: Path) -> Path:
    return root / LOCKS / f"run-{model}.pid"
