"""The regularised incomplete beta function in logarithms, for processes that cannot carry scipy. Knows no statistics.

Sources: the continued fraction is DLMF 8.17.22 (https://dlmf.nist.gov/8.17#v), evaluated by the modified Lentz
algorithm; where it converges slowly, near the mean of a distribution of many events, the leading two terms of the
uniform expansion DLMF 8.18.9 (Temme 1996, 11.3.3.2) take over, so that the time of a call is bounded.
"""

from __future__ import annotations

import math

_TERMS = 24
"""So many pairs of the fraction's terms are worth their time; then the expansion is exact enough (see the tests)."""
_CONVERGED = 1e-11


def log_beta(a: float, b: float) -> float:
    """Return ln B(a, b) for a, b > 0."""
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def log_lower(a: float, b: float, x: float) -> float:
    """Return ln I_x(a, b), the logarithm of P(X <= x) for X ~ Beta(a, b).

    Within 1e-4 of the true logarithm (1e-9 for a + b < 500), for a, b >= 1 and a + b up to 10 million.
    """
    if x <= 0.0:
        return -math.inf
    if x >= 1.0:
        return 0.0
    if x < (a + 1.0) / (a + b + 2.0):
        return _log_tail(a, b, x)
    return math.log1p(-min(math.exp(_log_tail(b, a, 1.0 - x)), 1.0 - 1e-16))


def log_upper(a: float, b: float, x: float) -> float:
    """Return ln (1 - I_x(a, b)), the logarithm of P(X > x) for X ~ Beta(a, b)."""
    return log_lower(b, a, 1.0 - x)


def _log_tail(a: float, b: float, x: float) -> float:
    """Return ln I_x(a, b) for x below the mean: by the fraction, or by the expansion where that would take long."""
    fraction = _fraction(a, b, x)
    if fraction is None:  # so near the mean that the tail is far from underflow
        return math.log(_expansion(a, b, x))
    return a * math.log(x) + b * math.log1p(-x) - math.log(a) - log_beta(a, b) + math.log(fraction)


def _fraction(a: float, b: float, x: float) -> float | None:
    """Return the continued fraction DLMF 8.17.22, or None when it has not converged after `_TERMS` pairs of terms."""
    whole, above, below = a + b, a + 1.0, a - 1.0
    c = 1.0
    d = 1.0 / (1.0 - whole * x / above)
    value = d
    for m in range(1, _TERMS + 1):
        at = a + m + m
        even = m * (b - m) * x / ((below + m + m) * at)
        d = 1.0 / (1.0 + even * d)
        c = 1.0 + even / c
        value *= c * d
        odd = -(a + m) * (whole + m) * x / (at * (above + m + m))
        d = 1.0 / (1.0 + odd * d)
        c = 1.0 + odd / c
        step = c * d
        value *= step
        if -_CONVERGED < step - 1.0 < _CONVERGED:
            return value
    return None


def _expansion(a: float, b: float, x: float) -> float:
    """Return I_x(a, b) for large a + b by DLMF 8.18.9, with its first coefficient."""
    n = a + b
    mean = a / n
    spread = math.sqrt(mean * (1.0 - mean))
    exponent = mean * math.log(x / mean) + (1.0 - mean) * math.log((1.0 - x) / (1.0 - mean))
    eta = math.copysign(math.sqrt(max(-2.0 * exponent, 0.0)), x - mean)
    near = abs(eta) < 1e-3
    first = (1.0 - 2.0 * mean) / (3.0 * spread) if near else 1.0 / eta - spread / (x - mean)
    return 0.5 * math.erfc(-eta * math.sqrt(n / 2.0)) + math.exp(n * exponent) / math.sqrt(2.0 * math.pi * n) * first
