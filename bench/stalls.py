"""How long the machine itself holds up programs that do nothing but look at the clock, one on each core.

What it takes from them it takes from whatever is measured: no latency below that can be told from none. A program on
one core alone may see nothing of it, because a virtual machine's cores can be two halves of one.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from typing import NamedTuple

HELD_UP_S = 0.001
"""From here on, two looks at the clock in a row count as held up; by itself one takes less than a microsecond."""


class Stalls(NamedTuple):
    """What the loops on all cores met."""

    share: float
    """The part of their time during which they were held up."""
    longest_s: float


def stalls(seconds: float) -> Stalls:
    """Look at the clock on every core for some seconds; the machine should have nothing else to do."""
    cores = os.cpu_count() or 1
    with multiprocessing.get_context("fork").Pool(cores) as pool:
        found = pool.map(_watch, [seconds] * cores, chunksize=1)
    held_up_s = [each for gaps in found for each in gaps]
    return Stalls(sum(held_up_s) / (seconds * cores), max(held_up_s, default=0.0))


def _watch(seconds: float) -> list[float]:
    gaps = []
    before_s = time.perf_counter()
    end_s = before_s + seconds
    while before_s < end_s:
        now_s = time.perf_counter()
        if now_s - before_s > HELD_UP_S:
            gaps.append(now_s - before_s)
        before_s = now_s
    return gaps
