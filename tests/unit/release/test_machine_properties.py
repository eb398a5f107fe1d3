"""What holds for any slot and any evidence: no exposure rises unless everything speaks for it, and nothing raises."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from datetime import UTC, timedelta
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from components.release.guards.evidence import KINDS
from components.release.machine import next_action, next_target, step_verdicts
from components.release.plan import ApprovalsSection, CanaryStep, ReleasePlan, ShadowStep
from components.release.records import Approval, Decision, Placement, RecordedVersion, Slot, VersionState
from components.release.rollout import Advance, Pause, RollBack, RolloutEvidence
from components.release.states import describe, on_its_way
from components.types.judging import ArmReport, BadEvent, Drift, Health, JudgeReport, ShadowReport
from components.types.release import Environment, Role
from tests.rollouts import BEGAN, DIGEST, MODEL, NEW, STABLE, approval, evidence, slot, stored

VERSIONS = st.none() | st.integers(1, 5)
COUNTS = st.integers(-2, 20_000) | st.sampled_from([0, 300, 6_000])
NUMBERS = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([0.0, 0.05, 0.4, 2_000.0, math.nan])
MAYBE = st.none() | NUMBERS
KINDS_OF_BAD = st.sampled_from([*(kind.value for kind in BadEvent), "sulking"])
BAD = st.dictionaries(KINDS_OF_BAD, COUNTS, max_size=6)
SENTENCES = st.none() | st.sampled_from(["", "too many errors"])
REVS = st.integers(5, 9)
DIGESTS = st.sampled_from([DIGEST, "e" * 64, ""])
TIMES = st.datetimes(timezones=st.just(UTC)) | st.datetimes() | st.just(BEGAN)
SETTINGS = settings(max_examples=2_000 if os.environ.get("TOWPATH_FULL") == "1" else 100, deadline=None)

PLANS = st.builds(
    ReleasePlan,
    shadow=st.none() | st.builds(ShadowStep, requests=st.integers(1, 6_000), seconds=st.sampled_from([0.0, 60.0])),
    canary=st.lists(st.integers(1, 99), max_size=4, unique=True).map(
        lambda weights: tuple(CanaryStep(weight=each, requests=100, seconds=60) for each in sorted(weights))
    ),
    approvals=st.builds(ApprovalsSection, stable=st.integers(0, 2)),
)
SLOTS = st.builds(
    Slot,
    model=st.just(MODEL),
    env=st.sampled_from(Environment),
    rev=REVS,
    stable=VERSIONS,
    canary=VERSIONS,
    shadow=VERSIONS,
    previous=VERSIONS,
    candidate=VERSIONS,
    weight=st.integers(0, 100),
    paused=st.booleans(),
)
ARMS = st.none() | st.builds(
    ArmReport,
    version=st.integers(1, 5),
    requests=COUNTS,
    users=COUNTS,
    bad=BAD,
    labelled=COUNTS,
    p50_ms=MAYBE,
    p95_ms=MAYBE,
    p99_ms=MAYBE,
    idle_s=MAYBE,
)
SHADOWS = st.none() | st.builds(
    ShadowReport,
    version=st.integers(1, 5),
    mirrored=COUNTS,
    dropped=COUNTS,
    bad=BAD,
    stable_bad=BAD,
    only_shadow_bad=COUNTS,
    only_stable_bad=COUNTS,
    differing=COUNTS,
    labelled=COUNTS,
    p50_ms=MAYBE,
    p95_ms=MAYBE,
    p99_ms=MAYBE,
    idle_s=MAYBE,
)
REPORTS = st.none() | st.builds(
    JudgeReport,
    model=st.sampled_from([MODEL, "another"]),
    rev=REVS,
    seconds=NUMBERS,
    weight=st.integers(0, 100),
    stable=ARMS,
    canary=ARMS,
    shadow=SHADOWS,
    e_values=st.dictionaries(KINDS_OF_BAD, NUMBERS, max_size=3),
    e_value=NUMBERS,
    drift=st.builds(Drift, psi=MAYBE, rows=COUNTS),
    split_p=MAYBE,
    alarm=SENTENCES,
    breaker=SENTENCES,
    killed=st.booleans(),
)
SUBJECTS = st.builds(
    RecordedVersion,
    model=st.sampled_from([MODEL, "another"]),
    version=st.integers(1, 5),
    digest=DIGESTS,
    dataset_digest=st.just("a" * 64),
    runtime=st.just("onnx"),
    author=st.sampled_from(["ada", ""]),
    state=st.sampled_from(VersionState),
)
STORED_ANYTHING = st.dictionaries(
    st.sampled_from([*KINDS, "another"]),
    st.dictionaries(
        st.sampled_from(["product_digest", "requests", "clean", "verdicts"]), MAYBE | DIGESTS | st.lists(MAYBE)
    ),
)
APPROVALS = st.lists(
    st.builds(
        Approval,
        model=st.just(MODEL),
        env=st.sampled_from(Environment),
        version=st.integers(1, 5),
        artifact_digest=DIGESTS,
        target=st.sampled_from(["stable", "shadow", "canary:5"]),
        rev=REVS,
        actor=st.sampled_from(["ada", "grace", ""]),
        decision=st.sampled_from(Decision),
        reason=st.just(""),
        at=st.sampled_from([BEGAN.isoformat(), "yesterday", ""]),
        expires_at=st.sampled_from(["9999-12-31T23:59:59+00:00", BEGAN.isoformat(), "never"]),
    ),
    max_size=4,
).map(tuple)
HEALTH = st.builds(
    Health, role=st.sampled_from(Role), version=VERSIONS, requests=COUNTS, bad=BAD, window_s=st.just(300.0)
)
ANYTHING = st.builds(
    RolloutEvidence,
    now=TIMES,
    subject=SUBJECTS,
    step_began=TIMES,
    stored=STORED_ANYTHING | st.just(stored()),
    report=REPORTS,
    metric_errors=st.integers(-1, 6),
    approvals=APPROVALS,
    previous_loadable=st.none() | st.booleans(),
    older_loadable=st.none() | st.booleans(),
    served_rev=st.none() | REVS,
    stable_health=st.dictionaries(st.sampled_from([3_600.0, 300.0]), HEALTH),
    behind_since=st.none() | TIMES,
    stable_since=st.none() | TIMES,
    mismatch=SENTENCES,
)

pytestmark = pytest.mark.slow


def exposure(placed: Placement, version: int | None) -> int:
    """Return the share of the users that meet a version, in percent."""
    if version is None:
        return 0
    if placed.stable == version:
        return 100
    return placed.weight if placed.canary == version else 0


def wheres(plan: ReleasePlan) -> list[Placement]:
    """Return every placement of a rollout under a plan, in order."""
    alone = Placement(stable=STABLE, previous=2)
    places = [replace(alone, candidate=NEW)]
    places += [replace(alone, shadow=NEW)] if plan.shadow else []
    places += [replace(alone, canary=NEW, weight=step.weight) for step in plan.canary]
    return [*places, Placement(stable=NEW, previous=STABLE)]


@st.composite
def nearly_right(draw: st.DrawFn) -> tuple[ReleasePlan, Slot, RolloutEvidence]:
    """Return a slot of a rollout with evidence in order, or with some of it replaced by anything."""
    plan = draw(PLANS)
    here = slot().at(7, draw(st.sampled_from(wheres(plan)[:-1])))
    right = evidence(here, approvals=(approval(here), approval(here, "joan")))
    wrong = draw(ANYTHING)
    names = ["now", "subject", "step_began", "stored", "report", "metric_errors", "approvals", "previous_loadable"]
    names += ["served_rev", "mismatch", "behind_since", "stable_health", "stable_since", "older_loadable"]
    changed: dict[str, Any] = {name: getattr(wrong, name) for name in draw(st.sets(st.sampled_from(names), max_size=2))}
    if "report" not in changed and draw(st.booleans()):
        assert right.report is not None
        other = draw(REPORTS)
        parts = draw(st.sets(st.sampled_from(["rev", "seconds", "stable", "canary", "shadow", "e_value", "alarm"])))
        changed["report"] = replace(right.report, **{part: getattr(other, part) for part in parts if other})
    return plan, here, replace(right, **changed)


@SETTINGS
@given(PLANS, SLOTS, ANYTHING)
def test_there_is_an_answer_to_everything(plan: ReleasePlan, here: Slot, found: RolloutEvidence) -> None:
    action = next_action(plan, here, found)
    assert next_action(plan, here, found) == action or "nan" in repr(action)
    assert describe(plan, here, action)
    assert isinstance(next_target(plan, here), str)
    assert all(each.reasons and all(each.reasons) for each in action.verdicts)


@SETTINGS
@given(PLANS, SLOTS, ANYTHING)
def test_no_exposure_of_a_version_on_its_way_rises_by_anything(
    plan: ReleasePlan, here: Slot, found: RolloutEvidence
) -> None:
    action, version = next_action(plan, here, found), on_its_way(here)
    if isinstance(action, Pause | RollBack):
        assert exposure(action.to, version) <= exposure(here, version)
        assert action.to.versions <= here.versions


@SETTINGS
@given(nearly_right())
def test_a_step_is_made_only_when_every_guard_passes_and_only_the_next_one(
    made: tuple[ReleasePlan, Slot, RolloutEvidence],
) -> None:
    plan, here, found = made
    action = next_action(plan, here, found)
    event(type(action).__name__)
    passed = all(each.passed for each in step_verdicts(plan, here, found))
    if not isinstance(action, Advance):
        another = found.subject.version != NEW or found.subject.model != MODEL
        assert another or not passed or isinstance(action, Pause | RollBack)
        return
    assert passed
    places = wheres(plan)
    assert action.to == places[places.index(here.placement) + 1]


@SETTINGS
@given(nearly_right())
def test_no_exposure_rises_without_a_fresh_report_an_alarm_or_not(
    made: tuple[ReleasePlan, Slot, RolloutEvidence],
) -> None:
    plan, here, found = made
    action, report = next_action(plan, here, found), found.report
    if report is not None and (report.model, report.rev) == (here.model, here.rev) and report.alarm is not None:
        assert isinstance(action, RollBack)
    if not isinstance(action, Advance):
        return
    if plan.shadow is not None or plan.canary:
        assert report is not None
        assert (report.model, report.rev, found.served_rev) == (here.model, here.rev, here.rev)
        assert (report.alarm, report.breaker, report.killed) == (None, None, False)
        assert 0 <= report.e_value < plan.judge.threshold
    assert found.mismatch is None


@SETTINGS
@given(nearly_right(), st.sampled_from([VersionState.REJECTED, VersionState.QUARANTINED]))
def test_a_version_that_may_not_be_released_only_ever_leaves(
    made: tuple[ReleasePlan, Slot, RolloutEvidence], state: VersionState
) -> None:
    plan, here, found = made
    action = next_action(plan, here, replace(found, subject=replace(found.subject, state=state)))
    assert isinstance(action, RollBack)
    assert NEW not in action.to.versions


@SETTINGS
@given(nearly_right())
def test_a_paused_rollout_never_goes_up(made: tuple[ReleasePlan, Slot, RolloutEvidence]) -> None:
    plan, here, found = made
    still = here.at(here.rev, replace(here.placement, paused=True))
    assert not isinstance(next_action(plan, still, found), Advance)


@SETTINGS
@given(PLANS, st.integers(0, 100_000))
def test_every_plan_can_be_walked_to_its_end(plan: ReleasePlan, extra_s: int) -> None:
    here = slot(candidate=NEW)
    for expected in wheres(plan)[1:]:
        agreed = (approval(here), approval(here, "joan"))
        given_ = evidence(here, after_s=2_000 + extra_s % 3_000, approvals=agreed)
        given_ = replace(given_, now=given_.now + timedelta(microseconds=1))
        action = next_action(plan, here, given_)
        assert isinstance(action, Advance), describe(plan, here, action)
        assert action.to == expected
        here = here.at(here.rev + 1, action.to)
