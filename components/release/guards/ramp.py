"""What a canary must show before more users see it: enough requests, and no more bad events than stable. Moves nothing.

A bad event is counted once per user and kind, so the trial is a user, not a request: the bound of few bad users among
many requests of theirs would say nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeGuard

from components.judge.bounds import upper
from components.release.guards.findings import Finding, at_least, is_number, number, verdict
from components.release.guards.shadow import time_passed
from components.release.plan import CanaryStep, RampSection
from components.release.rollout import RolloutEvidence
from components.types.evaluation import Verdict
from components.types.judging import ArmReport, BadEvent

SLOW_BY_CONSTRUCTION = 0.05
"""`BadEvent.SLOW` is what is slower than the stable version's own 95th percentile: so 5 % of its answers are, whatever
was counted of them so far."""


def ramp_verdicts(step: CanaryStep, ramp: RampSection, evidence: RolloutEvidence) -> tuple[Verdict, ...]:
    """Return what the guards of a canary step say."""
    report = evidence.report
    canary, stable = (report.canary, report.stable) if report else (None, None)
    return (
        verdict("requests", _requests(step, canary, stable)),
        time_passed(step.seconds, evidence),
        verdict("bad_events", _bad_events(ramp, canary, stable)),
    )


def _requests(step: CanaryStep, canary: ArmReport | None, stable: ArmReport | None) -> Iterator[Finding]:
    yield at_least("canary requests", canary.requests if canary else None, step.requests)
    yield at_least("stable requests to compare with", stable.requests if stable else None, step.requests)


def _bad_events(ramp: RampSection, canary: ArmReport | None, stable: ArmReport | None) -> Iterator[Finding]:
    if canary is None or stable is None:
        yield Finding(False, "bad events cannot be compared: the report lacks the canary or the stable version")
        return
    for arm, name in ((canary, "canary"), (stable, "stable")):
        sound = is_number(arm.users) and is_number(arm.requests) and 0 < arm.users <= arm.requests
        yield Finding(sound, f"{name} users: {number(arm.users)}, of {number(arm.requests)} requests")
        unknown = sorted(set(arm.bad) - set(BadEvent))
        yield Finding(not unknown, f"unknown kinds of bad events of {name}: {', '.join(unknown) or 'none'}")
    for kind in BadEvent:
        if kind is not BadEvent.LABEL_ERROR:
            yield _within(ramp, kind, canary, canary.users, stable, stable.users)
        else:
            yield _labels(ramp, canary, stable)


def _labels(ramp: RampSection, canary: ArmReport, stable: ArmReport) -> Finding:
    kind = BadEvent.LABEL_ERROR
    if not ramp.label_errors:
        return Finding(True, f"{kind}: not compared, because the plan leaves label errors to the judge alone")
    quiet = canary.bad.get(kind) == stable.bad.get(kind) == 0
    if quiet and canary.labelled == stable.labelled == 0:
        return Finding(True, f"{kind}: not compared, because no labels arrived")
    return _within(ramp, kind, canary, _labelled_users(canary), stable, _labelled_users(stable))


def _labelled_users(arm: ArmReport) -> int:
    """Return how many users can have got a label: no more than requests did, and no more than there are."""
    return int(min(arm.labelled, arm.users)) if is_number(arm.labelled) and is_number(arm.users) else 0


def _within(
    ramp: RampSection, kind: BadEvent, canary: ArmReport, canary_n: int, stable: ArmReport, stable_n: int
) -> Finding:
    """Compare the upper bound of the canary's rate with what the stable version's rate allows."""
    bad, stable_bad = canary.bad.get(kind), stable.bad.get(kind)
    if not (_is_share(bad, canary_n) and _is_share(stable_bad, stable_n)):
        counted = f"{number(bad)} of {number(canary_n)}, stable {number(stable_bad)} of {number(stable_n)}"
        return Finding(False, f"{kind}: {counted} cannot be compared; each side needs a count out of something")
    rate = stable_bad / stable_n
    usual = max(rate, SLOW_BY_CONSTRUCTION) if kind is BadEvent.SLOW else rate
    limit = max(ramp.max_bad_ratio * usual, ramp.max_bad_rate)
    bound = upper(bad, canary_n, ramp.confidence)
    said = (
        f"{kind}: {number(bad)} of {number(canary_n)}, at {ramp.confidence:.0%} confidence at most {bound:.2%}; "
        f"at most {limit:.2%} needed (stable {rate:.2%})"
    )
    return Finding(bound <= limit, said)


def _is_share(bad: int | None, n: int) -> TypeGuard[int]:
    return is_number(bad) and is_number(n) and isinstance(bad, int) and isinstance(n, int) and bad <= n and n > 0
