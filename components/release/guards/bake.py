"""Whether a version that just became stable burns its error budget. Knows neither judge nor canary.

Burn rate over two windows: B. Beyer et al., The Site Reliability Workbook (2018), chapter 5; the longer window makes
sure, the shorter one ends it. With little traffic a single failure burns any budget (ibid., "Low-traffic services"),
hence the least number of failures.
"""

from __future__ import annotations

from components.release.guards.findings import Finding, is_number, number, verdict
from components.release.plan import BakeSection
from components.release.records import Slot
from components.release.rollout import RolloutEvidence
from components.types.evaluation import Verdict
from components.types.judging import FAILURES, Health
from components.types.release import Role

GATE = "burn_rate"


def is_over(bake: BakeSection, evidence: RolloutEvidence) -> bool:
    """Return whether the bake time ended."""
    return evidence.baked_s >= bake.seconds


def burn_verdict(bake: BakeSection, slot: Slot, evidence: RolloutEvidence) -> Verdict:
    """Return whether the stable version keeps its budget in both windows; what nobody measured is refused."""
    return verdict(GATE, [_finding(bake, slot, evidence, window) for window in _windows(bake)])


def is_burning(bake: BakeSection, slot: Slot, evidence: RolloutEvidence) -> bool:
    """Return whether the stable version burns its budget too fast, in both windows and beyond chance."""
    rates = [_rate(bake, slot, evidence.stable_health.get(window)) for window in _windows(bake)]
    if any(rate is None or rate < bake.burn_rate for rate in rates):
        return False
    return _failures(evidence.stable_health[bake.long_window_s]) >= bake.min_failures


def _finding(bake: BakeSection, slot: Slot, evidence: RolloutEvidence, window: float) -> Finding:
    health = evidence.stable_health.get(window)
    rate = _rate(bake, slot, health)
    if health is None or rate is None:
        said = f"the health of version {slot.stable} over {number(window)} s is not known; is the gateway up?"
        return Finding(False, said)
    said = (
        f"burn rate over {number(window)} s: {number(rate)} ({_failures(health):,} of {health.requests:,} failed), "
        f"rolled back from {number(bake.burn_rate)} in both windows with {bake.min_failures} failures"
    )
    return Finding(rate < bake.burn_rate, said)


def _rate(bake: BakeSection, slot: Slot, health: Health | None) -> float | None:
    """Return how many times faster than allowed the budget burns; None where nobody can say."""
    if health is None or health.role is not Role.STABLE or health.version != slot.stable:
        return None
    counts = [health.requests, *health.bad.values()]
    if not all(is_number(each) for each in counts):
        return None
    if health.requests == 0:
        return 0.0
    return _failures(health) / health.requests / (1 - bake.slo)


def _failures(health: Health) -> int:
    return sum(health.bad.get(kind, 0) for kind in FAILURES)


def _windows(bake: BakeSection) -> tuple[float, float]:
    return bake.long_window_s, bake.short_window_s
