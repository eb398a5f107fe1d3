"""Children that die, or whose disk fails, at a chosen change of theirs to files. Shared by the tests of faults."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from components.errors import InfrastructureError

DONE, REFUSED, ENDED_OTHERWISE, DONE_ALL_THE_SAME = 0, 2, 3, 4
_MUTATING = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "shutil.copyfile"}


def _counted(step: int, act: Callable[[], None], by: str) -> int:
    left = step

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event in _MUTATING or (event == "open" and arguments[1] not in (None, "r", "rb")):
            left -= 1
            if left == 0:
                if by == "death":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise OSError(28, "No space left on device")

    sys.addaudithook(count)
    try:
        act()
    except InfrastructureError:
        return REFUSED
    return DONE if left > 0 else DONE_ALL_THE_SAME


def die_at(step: int, act: Callable[[], None], *, by: str) -> int:
    """Run `act` in a child that dies, or whose disk fails, at its `step`-th change; return the child's exit code."""
    child = os.fork()
    if child == 0:
        code = ENDED_OTHERWISE
        try:
            code = _counted(step, act, by)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
