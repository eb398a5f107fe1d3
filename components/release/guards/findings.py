"""One comparison, how it is told, and how several make a verdict. Holds no bound; NaN and None are never in favour."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeGuard

from components.types.evaluation import Verdict


@dataclass(frozen=True)
class Finding:
    """One comparison: whether it is in the version's favour, and what was compared with what."""

    passed: bool
    reason: str


def verdict(gate: str, findings: Iterable[Finding]) -> Verdict:
    """Return what a gate says: refused by any finding against the version, and by no finding at all."""
    found = list(findings) or [Finding(False, "nothing was checked")]
    against = tuple(each.reason for each in found if not each.passed)
    return Verdict(gate, not against, against or tuple(each.reason for each in found))


def is_number(value: Any) -> TypeGuard[float]:
    """Return whether something is a finite number that counts or measures: not missing, NaN, infinite or negative."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def at_least(what: str, value: float | None, bound: float, unit: str = "") -> Finding:
    """Compare with a lower bound."""
    return Finding(is_number(value) and value >= bound, _compared(what, value, "at least", bound, unit))


def at_most(what: str, value: float | None, bound: float, unit: str = "") -> Finding:
    """Compare with an upper bound that may be reached."""
    return Finding(is_number(value) and value <= bound, _compared(what, value, "at most", bound, unit))


def below(what: str, value: float | None, bound: float, unit: str = "") -> Finding:
    """Compare with an upper bound that may not be reached."""
    return Finding(is_number(value) and value < bound, _compared(what, value, "below", bound, unit))


def none_of(what: str, value: int | None, count: int | None) -> Finding:
    """Expect that none of so many is counted."""
    passed = is_number(value) and value == 0 and is_number(count) and count > 0
    return Finding(passed, f"{what}: {number(value)} of {number(count)}, none is allowed")


def number(value: Any) -> str:
    """Return a number as people read it."""
    if value is None:
        return "missing"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"not a number ({value!r})"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _compared(what: str, value: float | None, relation: str, bound: float, unit: str) -> str:
    return f"{what}: {number(value)}{unit if is_number(value) else ''}, {relation} {number(bound)}{unit} needed"
