"""How long other processes computed for this thread: a runtime notes it, whoever times a prediction reads it.

A thread that waits for another process spends no processor time of its own, and on a busy machine more time by the
clock on the wall than the prediction took. Knows no runtime.
"""

from __future__ import annotations

import threading


class _Noted(threading.local):
    seconds: float = 0.0


_noted = _Noted()


def note(seconds: float) -> None:
    """Add what another process computed for this thread."""
    _noted.seconds += seconds


def noted_s() -> float:
    """Return how long other processes have computed for this thread, all in all."""
    return _noted.seconds
