"""What a machine refuses for a moment: a thread, a place on the disk."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def refuse_threads(patch: pytest.MonkeyPatch, name: str, times: int = 1) -> list[str]:
    """Have the next threads whose names begin with `name` not start; return the list of those that did not."""
    refused: list[str] = []
    start = threading.Thread.start

    def start_or_fail(thread: threading.Thread) -> None:
        if thread.name.startswith(name) and len(refused) < times:
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    patch.setattr(threading.Thread, "start", start_or_fail)
    return refused


def no_space(path: Path, *_: Any) -> None:
    """Do in place of what writes a file: the disk is full."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def failing_first(call: Callable[..., Any], error: Exception, times: int = 1) -> tuple[Callable[..., Any], list[int]]:
    """Return a call that fails at first, and the list that grows with each time it is made."""
    made: list[int] = []

    def call_or_fail(*args: Any, **kwargs: Any) -> Any:
        made.append(len(made))
        if len(made) <= times:
            raise error
        return call(*args, **kwargs)

    return call_or_fail, made
