"""Whether a shadow's process hangs, and when one that ended is started again. Knows no request."""

from __future__ import annotations

import time

from components.serving.mirroring.process import ShadowProcess
from components.serving.version_cache import LOAD_S

_GRACE_S = 1.0
"""How long beyond its limit a prediction that was asked to stop may go on before its process is ended."""
_STEADY_S = 10.0
"""A process that lived so long had no trouble: its successor starts at once."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 30.0


class Restarts:
    """How often processes died young, and when the next one may start."""

    def __init__(self) -> None:
        """Let the first one start at once."""
        self.deaths = 0
        self._start_at_s = 0.0

    @property
    def wait_s(self) -> float:
        """How long until the next one may start."""
        return max(0.0, self._start_at_s - time.monotonic())

    def again(self, lived_s: float) -> str:
        """Set when the next one starts, later after each that died young; return it as half a sentence."""
        self.deaths = 0 if lived_s >= _STEADY_S else self.deaths + 1
        wait_s = min(_FIRST_WAIT_S * 2 ** min(self.deaths - 1, 10), _LONGEST_WAIT_S) if self.deaths else 0.0
        self._start_at_s = time.monotonic() + wait_s
        return f"it is started again in {wait_s:g} s"


class Progress:
    """Whether a process goes on: with loading, or from one request to the next."""

    def __init__(self, process: ShadowProcess, time_limit_s: float) -> None:
        """Start the clock, before the process has its version loaded."""
        self._process = process
        self._time_limit_s = time_limit_s
        self._at = -1
        self._since_s = time.monotonic()

    def hangs(self, *, has_work: bool) -> bool:
        """Return whether the process has been at one thing for longer than that may take; asked from time to time."""
        process, now_s = self._process, time.monotonic()
        at = process.begun if has_work else -1
        if at != self._at or (process.is_ready and not has_work):
            self._at, self._since_s = at, now_s
        return now_s - self._since_s > (self._time_limit_s + _GRACE_S if process.is_ready else LOAD_S)
