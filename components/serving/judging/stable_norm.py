"""What is slow and what is wrong, as the stable version itself has it: its own 95th percentiles. Counts no bad events.

"Slow" and "wrong" mean a later bin than the one that holds the percentile: the same bins for both versions. They are
those of the past, so that an event is decided on before it happens, as the e-value needs it.
"""

from __future__ import annotations

import numpy as np

from components.judge.latency import BINS, bin_of, quantile, quantile_bin
from components.serving.board.layout import ERROR_BINS
from components.serving.board.rollout_board import RolloutBoard
from components.serving.judging.evidence import STABLE
from components.serving.judging.predictions import error_bin

THREAD_S = 0.005
"""A canary runs in a thread, the stable version on the event loop: that alone may cost it Python's switch interval, and
says nothing about the version. So much later than stable's 95th percentile it may answer before it is called slow."""

_ENOUGH = 100
"""So many of stable's requests, or labels, say what its 95th percentile is."""


class StableNorm:
    """The limits as of the last `learn`."""

    def __init__(self, rollout: RolloutBoard) -> None:
        self._rollout = rollout
        self._errors: list[int] = []
        self._last_right = ERROR_BINS
        self.last_fast = [BINS, BINS, BINS]
        """By role, the last bin of latencies that is not slow."""

    def note_error(self, error: float) -> None:
        """Keep an absolute error of the stable version for the next `learn`."""
        self._errors.append(error_bin(error))

    def is_wrong(self, value: float, truth: float, is_class: bool) -> bool:
        """Return whether a prediction is to be called wrong."""
        return value != truth if is_class else error_bin(abs(value - truth)) > self._last_right

    def learn(self) -> None:
        """Tell the other workers, and take the percentiles of all as of now."""
        if self._errors:
            self._rollout.own["errors"] += np.bincount(self._errors, minlength=ERROR_BINS)
            self._errors = []
        rows = self._rollout.rows
        latencies = rows["arms"]["latency"][:, STABLE].sum(axis=0)
        if (slowest := quantile_bin(latencies, 0.95, _ENOUGH)) is not None:
            late = bin_of((quantile(latencies, 0.95) or 0.0) + THREAD_S)
            self.last_fast = [slowest, late, late]
        right = quantile_bin(rows["errors"].sum(axis=0), 0.95, _ENOUGH)
        self._last_right = ERROR_BINS if right is None else right
