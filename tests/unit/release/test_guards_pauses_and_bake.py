"""When a rollout stops by itself, and when a stable version burns its budget."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from components.release.guards import pauses
from components.release.guards.bake import burn_verdict, is_burning
from components.release.plan import ReleasePlan
from components.release.rollout import RolloutEvidence
from components.types.evaluation import Verdict
from components.types.judging import Health
from components.types.release import Role
from tests.rollouts import (
    NEW,
    STABLE,
    arm,
    evidence,
    health,
    report,
    shadow,
    slot,
    with_report,
)

PLAN = ReleasePlan()
STEP = PLAN.canary[0]
NAN, INFINITY = math.nan, math.inf
SHADOW = slot(shadow=NEW)
CANARY = slot(canary=NEW, weight=5)


def refused(verdicts: dict[str, Verdict]) -> set[str]:
    return {gate for gate, each in verdicts.items() if not each.passed}


class TestPauses:
    def stopped(self, of: Any, given: RolloutEvidence) -> set[str]:
        return refused({each.gate: each for each in pauses.pause_verdicts(PLAN, of, given)})

    @pytest.mark.parametrize("of", [CANARY, SHADOW])
    def test_a_healthy_rollout_goes_on(self, of: Any) -> None:
        assert self.stopped(of, evidence(of)) == set()

    @pytest.mark.parametrize("idle_s", [300.1, NAN, INFINITY])
    def test_a_version_nobody_asks_stops(self, idle_s: float) -> None:
        canary = with_report(evidence(CANARY), canary=arm(NEW, 6_000, idle_s=idle_s))
        mirrored = with_report(evidence(SHADOW), shadow=shadow(NEW, 6_000, idle_s=idle_s))
        assert self.stopped(CANARY, canary) == {"data"}
        assert self.stopped(SHADOW, mirrored) == {"data"}

    @pytest.mark.parametrize(("seconds", "stopped"), [(300.0, set()), (301.0, {"data"}), (NAN, {"data"})])
    def test_a_version_that_was_never_asked_stops_when_it_had_its_time(self, seconds: float, stopped: set[str]) -> None:
        never = with_report(evidence(CANARY), canary=arm(NEW, 0, idle_s=None), seconds=seconds)
        assert self.stopped(CANARY, never) == stopped
        assert self.stopped(CANARY, with_report(never, canary=None)) == stopped

    @pytest.mark.parametrize(("after_s", "stopped"), [(300.0, set()), (301.0, {"data"})])
    def test_servers_that_answer_and_know_nothing_of_the_revision_stop(self, after_s: float, stopped: set[str]) -> None:
        silent = replace(evidence(CANARY, after_s=after_s), report=None)
        assert self.stopped(CANARY, silent) == stopped
        earlier = replace(silent, report=report(slot(rev=CANARY.rev - 1)))
        assert self.stopped(CANARY, earlier) == stopped

    @pytest.mark.parametrize(("errors", "stopped"), [(3, set()), (4, {"metric_source"}), (NAN, {"metric_source"})])
    def test_four_failed_observations_stop_and_nothing_before(self, errors: Any, stopped: set[str]) -> None:
        down = replace(evidence(CANARY), report=None, served_rev=None, metric_errors=errors)
        assert self.stopped(CANARY, down) == stopped

    @pytest.mark.parametrize(
        ("split_p", "stopped"), [(None, set()), (1e-4, set()), (9e-5, {"split"}), (NAN, {"split"})]
    )
    def test_a_split_that_is_not_the_weight_stops(self, split_p: float | None, stopped: set[str]) -> None:
        assert self.stopped(CANARY, with_report(evidence(CANARY), split_p=split_p)) == stopped

    @pytest.mark.parametrize("weight", [0, 4, 6, None, NAN])
    def test_another_weight_than_the_slots_stops(self, weight: Any) -> None:
        assert self.stopped(CANARY, with_report(evidence(CANARY), weight=weight)) == {"weight"}

    def test_traffic_to_a_shadow_stops(self) -> None:
        assert self.stopped(SHADOW, with_report(evidence(SHADOW), weight=5)) == {"weight"}


class TestBake:
    STABLE_NEW = slot(stable=NEW, previous=STABLE)

    def judged(self, found: dict[float, Health]) -> tuple[bool, bool]:
        given = replace(evidence(self.STABLE_NEW), stable_health=found)
        return burn_verdict(PLAN.bake, self.STABLE_NEW, given).passed, is_burning(PLAN.bake, self.STABLE_NEW, given)

    def test_a_healthy_version_keeps_its_budget(self) -> None:
        assert self.judged(health()) == (True, False)
        assert self.judged(health(requests=0)) == (True, False)

    def test_14_4_times_the_budget_in_both_windows_burns(self) -> None:
        assert self.judged(health(failed=145)) == (False, True)
        assert self.judged(health(failed=143)) == (True, False)

    @pytest.mark.parametrize("window", [3_600.0, 300.0])
    def test_one_window_alone_does_not(self, window: float) -> None:
        calm, bad = health(), health(failed=500)
        assert self.judged({**calm, window: bad[window]})[1] is False

    def test_one_failure_among_few_requests_does_not(self) -> None:
        assert self.judged(health(requests=10, failed=2))[1] is False
        assert self.judged(health(requests=10, failed=3))[1] is True

    @pytest.mark.parametrize("kind", ["slow", "label_error"])
    def test_only_failures_burn(self, kind: str) -> None:
        found = {window: replace(each, bad={kind: 9_000}) for window, each in health().items()}
        assert self.judged(found) == (True, False)

    @pytest.mark.parametrize(
        "changed",
        [
            {"role": Role.CANARY},
            {"version": STABLE},
            {"version": None},
            {"requests": NAN},
            {"requests": None},
            {"bad": {"server_error": NAN}},
            {"bad": {"server_error": -500}},
        ],
    )
    def test_health_of_something_else_or_without_numbers_is_not_known(self, changed: dict[str, Any]) -> None:
        found = {window: replace(each, **changed) for window, each in health(failed=500).items()}
        assert self.judged(found) == (False, False)

    def test_windows_that_nobody_measured_are_not_known(self) -> None:
        assert self.judged({}) == (False, False)
