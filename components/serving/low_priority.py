"""How a process beside the gateway yields the processor to whoever serves. Knows nothing of what it does with the rest.

A lower weight alone still lets a process that wakes take the processor from one that answers, and keep it for a slice
of milliseconds; as a batch process (Linux) it waits for its turn.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

_NICE = 5
"""A quarter of a processor that others want, too; at 19 a prediction log would not keep up, and a shadow look slow."""


def yield_processor() -> None:
    """Take the processor from nobody from now on, this process's later threads included."""
    os.nice(_NICE)
    if sys.platform == "linux":
        with suppress(PermissionError):  # a sandbox may forbid it; the lower weight is something
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
