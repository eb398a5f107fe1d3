"""Whether bad events come from the canary too often, at any time one looks. Knows no traffic, no time, no thresholds.

Of every bad event one asks: did it come from the canary? If the canary's rate of bad events is at most `rate_ratio`
times the stable version's, and the canary has the share w of the users, the probability of yes is at most

    p0 = rate_ratio * w / (rate_ratio * w + 1 - w).

The e-value of k canary events among n is the likelihood ratio against p0, averaged over the uniform (Beta(1, 1))
prior truncated to p > p0:

    e(k, n) = 1 / (1 - p0) * integral from p0 to 1 of (p / p0)^k * ((1 - p) / (1 - p0))^(n - k) dp
            = B(k + 1, n - k + 1) * (1 - I_p0(k + 1, n - k + 1)) / ((1 - p0) * p0^k * (1 - p0)^(n - k)).

Under H0 this is a nonnegative supermartingale that starts at 1, so by Ville's inequality it *ever* reaches 100 with a
probability of at most 1 %, however often one looks. It depends on (k, n) only: counts that several processes add up
give the e-value of all of them.

Source: M. Lindon, A. Malek: Anytime-valid inference for multinomial count data, NeurIPS 2022, arXiv 2011.03567 (there
with a Dirichlet mixture on the whole simplex; the truncation makes it one-sided). Averages of e-values are e-values:
V. Vovk, R. Wang: E-values: calibration, combination and applications, Annals of Statistics 2021, arXiv 1912.06116.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache

from components.judge.incomplete_beta import log_beta, log_upper

_LARGEST_LOG = 700.0
"""exp of it is still a finite float, so that a report stays valid JSON."""


@lru_cache(maxsize=256)
def boundary(share: float, rate_ratio: float) -> float:
    """Return p0: the largest probability, under H0, that a bad event came from the canary."""
    return rate_ratio * share / (rate_ratio * share + 1.0 - share)


def log_e(canary_events: int, all_events: int, share: float, rate_ratio: float) -> float:
    """Return the natural logarithm of the e-value against "the canary is no worse than rate_ratio times stable".

    Args:
        canary_events: Bad events of the canary, at most one per user.
        all_events: Bad events of canary and stable together.
        share: The canary's nominal share of the users, in (0, 1). Outside of it nothing can be compared: 0.0.
        rate_ratio: How many times the stable version's rate the canary's may be.
    """
    if not 0.0 < share < 1.0 or all_events <= 0:
        return 0.0
    p0 = boundary(share, rate_ratio)
    a, b = canary_events + 1.0, all_events - canary_events + 1.0
    rest = math.log1p(-p0)
    return log_beta(a, b) + log_upper(a, b, p0) - (a - 1.0) * math.log(p0) - b * rest


def from_log(logarithm: float) -> float:
    """Return the e-value itself, never infinite."""
    return math.exp(min(logarithm, _LARGEST_LOG))


def average(e_values: Iterable[float], steps: int = 1, ended: Sequence[float] | None = None) -> float:
    """Return the release's e-value: the mean over kinds of bad events, then over the planned steps.

    A release that climbs through several steps has several chances to err. Their mean keeps the error of all of them
    together at 1 / threshold.

    Args:
        e_values: The running step's, one per kind of bad event; a kind without an event counts as 1.
        steps: How many steps the release's plan has.
        ended: The averages at which the earlier steps ended; steps not yet reached count as 1. None when nothing is
            known of the other steps: then each of them counts as 0, which is a little slower and never wrong.
    """
    values = tuple(e_values)
    running = sum(values) / len(values) if values else 1.0
    if ended is None:
        return running / steps
    return (sum(ended) + running + (steps - len(ended) - 1)) / steps
