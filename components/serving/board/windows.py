"""What happened to one version in one role, second by second, for a little over an hour. Judges nothing.

It goes on over revisions of the slot, because a version's health is asked for longer than a step of a ramp lasts. Time
is the machine's own (`time.monotonic` is the same for all processes of one boot), so that nobody's clock matters; the
boot is part of the file's name.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from components.serving.board.layout import KINDS
from components.serving.board.mapped_file import open_mapped
from components.types.release import Role

SECONDS = 3_660
_CELL = np.dtype([("second", np.int64), ("requests", np.int64), ("bad", np.int64, len(KINDS))])


class Window(NamedTuple):
    """A stretch of time up to now."""

    requests: int
    bad: list[int]
    """By kind, in the order of `KINDS`; every one, not one per user."""
    covered_s: float


class Windows:
    """One version in one role."""

    def __init__(self, folder: Path, role: Role, version: int, worker: int, rows: int) -> None:
        path = folder / f"{role.value}-{version}-{_boot()}"
        memory = open_mapped(path, rows * SECONDS * _CELL.itemsize)
        cells = np.frombuffer(memory, _CELL)
        self._rows = cells[: len(cells) // SECONDS * SECONDS].reshape(-1, SECONDS)
        self._own = self._rows[worker]

    def add(self, requests: int, bad: Sequence[int]) -> None:
        """Count requests and bad events as of this second."""
        second = int(time.monotonic())
        cell = self._own[second % SECONDS : second % SECONDS + 1]
        if cell["second"][0] != second:
            cell["requests"] = 0
            cell["bad"] = 0
            cell["second"] = second
        cell["requests"] += requests
        cell["bad"] += np.asarray(bad)

    def latest(self, window_s: float) -> Window:
        """Return the counts of the last `window_s` seconds, of all workers."""
        now_s = time.monotonic()
        written = self._rows["second"]
        known = self._rows[(written > 0) & (written > now_s - SECONDS)]
        chosen = known[known["second"] > now_s - window_s - 1.0]
        covered_s = min(window_s, now_s - int(known["second"].min())) if len(known) else 0.0
        return Window(int(chosen["requests"].sum()), chosen["bad"].sum(axis=0).tolist(), covered_s)


def remove_windows(folder: Path, versions: frozenset[int]) -> None:
    """Remove the files of versions that no role needs any more, and those from before the machine started."""
    for path in folder.glob("*-*-*"):
        _, version, boot = path.name.split("-", 2)
        if boot != _boot() or not version.isdigit() or int(version) not in versions:
            path.unlink(missing_ok=True)


@lru_cache(maxsize=1)
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    except OSError:  # not Linux: the day the machine started is as good
        return str(int((time.time() - time.monotonic()) / 86_400))
