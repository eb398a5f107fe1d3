"""Latencies counted in fixed bins, so that the counts of several processes add up. Knows no clock, no version.

384 bins from 10 microseconds to 168 s, each 2^(1/16) = 4.4 % wider than the one before; below and above, the first and
the last bin take what comes. A quantile read from the bins is within one bin's width of the sample's. The idea is that
of an HDR histogram (G. Tene) with logarithmic bins, as in DDSketch (C. Masson et al., VLDB 2019).

"Slow" is a later bin than the one that holds stable's 95th percentile: the same bin for both versions, whatever it is.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

BINS = 384
_FIRST_S = 1e-5
_PER_DOUBLING = 16
_OFFSET = _PER_DOUBLING * math.log2(_FIRST_S)


def bin_of(seconds: float) -> int:
    """Return the bin of a latency."""
    if seconds <= _FIRST_S:
        return 0
    return min(int(_PER_DOUBLING * math.log2(seconds) - _OFFSET), BINS - 1)


def quantile(counts: NDArray[np.integer], q: float) -> float | None:
    """Return a quantile in seconds, as the geometric middle of its bin; None when nothing was counted."""
    place = quantile_bin(counts, q)
    return None if place is None else _FIRST_S * 2.0 ** ((place + 0.5) / _PER_DOUBLING)


def quantile_bin(counts: NDArray[np.integer], q: float, at_least: int = 1) -> int | None:
    """Return the bin that holds a quantile; None when fewer than at_least latencies were counted.

    Args:
        counts: How many latencies fell into each bin: integers of shape (BINS,), of any number of processes added up.
        q: The quantile, in (0, 1].
        at_least: So many are needed for an answer.
    """
    reached = np.cumsum(counts)
    total = int(reached[-1])
    if total < max(at_least, 1):
        return None
    return int(np.searchsorted(reached, math.ceil(q * total), side="left"))
