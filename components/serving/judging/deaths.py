"""Whether the process that was this worker before died while a new version computed. Counts nothing.

A prediction of a canary or shadow leaves a mark on the board while it runs. A process that finds its predecessor's mark
knows that it never ended: native code crashed, or the machine killed it.
"""

from __future__ import annotations

import signal

from components.serving.board import Board
from components.serving.board.layout import ROLES
from components.serving.board.rollout_board import RolloutBoard
from components.serving.judging.evidence import CANARY, SHADOW
from components.types.release import TrafficSplit

_NATIVE = frozenset({-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGILL, -signal.SIGFPE})
"""Ends of a process that native code in it causes, and nobody else."""


def deaths(rollout: RolloutBoard, split: TrafficSplit, board: Board) -> list[tuple[int, str | None]]:
    """Take over this worker's row; return for which roles it counts as a failure, each with why to stop at once.

    Without an exit code the gateway as a whole is new: the machine may have gone down with all workers at once, so only
    the first of them speaks, and a single failure stops nothing.
    """
    own = rollout.own
    if own["process"][0] == board.process:
        return []
    died_in = own["running"][0].copy()
    own["process"] = board.process
    own["running"] = 0
    if board.predecessor is None and board.worker != 0:
        return []
    found: list[tuple[int, str | None]] = []
    for index, version in ((CANARY, split.canary), (SHADOW, split.shadow)):
        if died_in[index] and version is not None:
            found.append((index, _sentence(board.predecessor, ROLES[index].value, version)))
    return found


def native_death(exit_code: int | None) -> str | None:
    """Return the signal by which native code ended a process; None where anything else did."""
    return signal.Signals(-exit_code).name if exit_code is not None and exit_code in _NATIVE else None


def _sentence(exit_code: int | None, role: str, version: int) -> str | None:
    if (name := native_death(exit_code)) is None:
        return None
    return f"a gateway process died of {name} while the {role}, version {version}, computed"
