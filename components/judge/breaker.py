"""Whether a canary fails so plainly at once that nothing needs to be waited for. Knows failures only, no latency.

With f failures among its first requests, at least 3, the canary trips the breaker when a version that fails at most r
times as often as stable would show so many among its first 20 with a probability below 1 %. Of stable, s failures
among n requests are known, so that probability is the posterior predictive one, a beta-binomial:

    P(X >= f) < 0.01,   X ~ BetaBinomial(20, r * s + 0.1, max(n - r * s, 0) + 3).

The prior, a tenth of a failure in three requests, says what is expected of a version that serves: three failures trip
at once where stable answered some twenty without one, and where stable fails as much, nothing trips. False trips are in
docs/judge. The beta-binomial distribution: J. Skellam, JRSS B 1948.
"""

from __future__ import annotations

import math

from components.judge.incomplete_beta import log_beta

_CHANCE = 0.01
_PRIOR_FAILURES = 0.1
_PRIOR_ANSWERS = 3.0


def tripped(
    canary_failures: int,
    canary_requests: int,
    stable_failures: int,
    stable_requests: int,
    *,
    failures: int = 3,
    requests: int = 20,
    rate_ratio: float = 1.25,
) -> bool:
    """Return whether the canary's first requests failed so often that its weight belongs at 0.

    Args:
        canary_failures: Server errors, time-outs and invalid outputs among the canary's requests so far.
        canary_requests: The canary's requests so far; beyond `requests` the breaker has nothing to say.
        stable_failures: The stable version's, of the same time.
        stable_requests: The stable version's requests of the same time.
        failures: So many are needed at least.
        requests: So many of the canary's requests the breaker watches.
        rate_ratio: How many times the stable version's failure rate the canary's may be.
    """
    if canary_failures < failures or canary_requests > requests:
        return False
    failed = rate_ratio * stable_failures
    a, b = failed + _PRIOR_FAILURES, max(stable_requests - failed, 0.0) + _PRIOR_ANSWERS
    return _at_least(canary_failures, requests, a, b) < _CHANCE


def _at_least(count: int, trials: int, a: float, b: float) -> float:
    """Return P(X >= count) for X ~ BetaBinomial(trials, a, b), by its terms: there are few."""
    whole = log_beta(a, b)
    return sum(
        math.comb(trials, k) * math.exp(log_beta(k + a, trials - k + b) - whole) for k in range(count, trials + 1)
    )
