"""Whether a canary fails so plainly at once that nothing needs to be waited for. Knows failures only, no latency.

With f failures among its first m requests, the canary trips the breaker when f >= 3 and a version that fails at most
`rate_ratio` times as often as stable would have so many among the first 20 with a probability below 1 %:

    P(Binomial(20, rate_ratio * r) >= f) < 0.01,   r = (stable failures + 0.02) / (stable requests + 2).

The two requests added to stable's, of which 1 % failed, say what is expected of a stable version of which nothing was
seen yet: then three failures trip. What stable does as often as the canary does not (false trips: docs/judge).
"""

from __future__ import annotations

import math

_CHANCE = 0.01


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
        stable_failures: The stable version's, over all its requests of the same time.
        stable_requests: The stable version's requests of the same time.
        failures: So many are needed at least.
        requests: So many of the canary's requests the breaker watches.
        rate_ratio: How many times the stable version's failure rate the canary's may be.
    """
    if canary_failures < failures or canary_requests > requests:
        return False
    rate = min(1.0, rate_ratio * (stable_failures + 0.02) / (stable_requests + 2.0))
    return _at_least(canary_failures, requests, rate) < _CHANCE


def _at_least(count: int, trials: int, probability: float) -> float:
    """Return P(Binomial(trials, probability) >= count), by its terms: there are few."""
    return sum(
        math.comb(trials, k) * probability**k * (1.0 - probability) ** (trials - k) for k in range(count, trials + 1)
    )
