"""Whether as many users reach the canary as its weight says. Knows no hash and no router.

A wrong split (a cache, a broken hash, a proxy that retries) makes every comparison wrong, so it is looked at first:
"sample ratio mismatch", A. Fabijan et al., KDD 2019. Two-sided binomial p-value, twice the smaller tail (Clopper and
Pearson 1934):

    p = min(1, 2 * min(P(X <= k), P(X >= k))),   X ~ Binomial(n, w),
    P(X >= k) = I_w(k, n - k + 1),   P(X <= k) = 1 - I_w(k + 1, n - k)   (DLMF 8.17.5).
"""

from __future__ import annotations

import math

from components.judge.incomplete_beta import log_lower, log_upper


def p_value(canary_users: int, users: int, share: float) -> float:
    """Return how likely a split at least as far off is, if every user goes to the canary with probability share.

    Args:
        canary_users: Distinct users who reached the canary.
        users: Distinct users in all.
        share: The canary's nominal share, in [0, 1].

    Raises:
        ValueError: If there are more canary users than users.
    """
    if not 0 <= canary_users <= users:
        raise ValueError(f"{canary_users} of {users} users cannot have reached the canary")
    if share <= 0.0 or share >= 1.0:
        return 1.0 if canary_users == round(users * share) else 0.0
    at_least = 0.0 if canary_users == 0 else log_lower(canary_users, users - canary_users + 1.0, share)
    at_most = 0.0 if canary_users == users else log_upper(canary_users + 1.0, users - canary_users, share)
    return min(1.0, 2.0 * math.exp(min(at_least, at_most)))
