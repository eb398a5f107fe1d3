"""Whether a shadow is worse than the stable version, request by request. Knows no traffic, no thresholds.

Both versions answered the same request, so only pairs of which at least one is bad say anything: b where the shadow
alone is bad, c where stable alone is, d where both are. H0: the shadow's rate of bad answers is at most r times the
stable version's, that is b + d <= r * (c + d) in the mean. For every such pair one bets the share lambda of what one
has, 0 < lambda < 1 / r, and the capital after all of them is

    (1 + lambda)^b * (1 - r * lambda)^c * (1 - (r - 1) * lambda)^d,

whose mean under H0 never grows. The e-value is its average over lambda uniform on (0, 1 / r), by Gauss-Legendre
quadrature: nodes with positive weights that sum to 1 are a bet on each node, so the sum is an e-value itself, not an
approximation of one. For d = 0 it is the mixture of `evalue` with p0 = r / (1 + r).

Source: betting e-values: I. Waudby-Smith, A. Ramdas: Estimating means of bounded random variables by betting, JRSS B
2024, arXiv 2010.09686; discordant pairs: Q. McNemar, Psychometrika 1947.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_NODES = 64


def log_e(only_shadow_bad: int, only_stable_bad: int, rate_ratio: float, both_bad: int = 0) -> float:
    """Return the natural logarithm of the e-value against "the shadow is no worse than rate_ratio times stable".

    Args:
        only_shadow_bad: Requests on which the shadow alone was wrong or failed.
        only_stable_bad: Requests on which the stable version alone was.
        rate_ratio: How many times the stable version's rate the shadow's may be, at least 1.
        both_bad: Requests on which both were. Left out, the test asks only whether the shadow's own faults are more
            than rate_ratio times the stable version's own: stricter than the ratio of the rates.
    """
    weights, won, lost, drawn = _bets(rate_ratio)
    logs = only_shadow_bad * won + only_stable_bad * lost + both_bad * drawn
    largest = float(logs.max())
    return largest + float(np.log(weights @ np.exp(logs - largest)))


@lru_cache(maxsize=16)
def _bets(rate_ratio: float) -> tuple[NDArray[np.float64], ...]:
    """Return each node's weight and the logarithm of what its bet gains per pair of each sort."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    bet = (nodes + 1.0) / 2.0 / rate_ratio
    return weights / 2.0, np.log1p(bet), np.log1p(-rate_ratio * bet), np.log1p(-(rate_ratio - 1.0) * bet)
