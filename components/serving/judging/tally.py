"""What one worker counted for one role since it last told the others: plain integers. Judges nothing."""

from __future__ import annotations

import time

import numpy as np

from components.judge.latency import BINS
from components.serving.board.layout import KINDS
from components.serving.board.windows import Windows


class Tally:
    """Counts on their way to a worker's row and to its windows."""

    __slots__ = ("bad", "labelled", "latency", "requests", "users")

    def __init__(self) -> None:
        self.requests = 0
        self.users = 0
        self.labelled = 0
        self.latency = [0] * BINS
        self.bad = [0] * len(KINDS)
        """Every bad event, not one per user."""

    def flush(self, arm: np.ndarray, windows: Windows) -> None:
        """Add everything to a worker's row of shape (1,) and to this second, and start anew."""
        if not (self.requests or self.labelled or any(self.bad)):
            return
        windows.add(self.requests, self.bad)
        if self.requests:
            arm["latest_ms"] = int(time.time() * 1000)
            arm["requests"] += self.requests
            arm["users"] += self.users
            arm["latency"] += np.array(self.latency)
            self.latency = [0] * BINS
        arm["labelled"] += self.labelled
        self.requests = self.users = self.labelled = 0
        self.bad = [0] * len(KINDS)
