"""The guards of shadow and canary steps: what is in order passes, each broken input refuses."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from components.release.guards.ramp import ramp_verdicts
from components.release.guards.shadow import shadow_verdicts
from components.release.plan import RampSection, ReleasePlan
from components.release.rollout import RolloutEvidence
from components.types.evaluation import Verdict
from components.types.judging import ArmReport, BadEvent, Drift
from tests.rollouts import (
    NEW,
    STABLE,
    arm,
    evidence,
    shadow,
    slot,
    with_report,
)

PLAN = ReleasePlan()
STEP = PLAN.canary[0]
NAN, INFINITY = math.nan, math.inf
SHADOW = slot(shadow=NEW)
CANARY = slot(canary=NEW, weight=5)
NO_NUMBERS = [None, NAN, INFINITY, -1]


def of_shadow(given: RolloutEvidence) -> dict[str, Verdict]:
    assert PLAN.shadow is not None
    return {each.gate: each for each in shadow_verdicts(PLAN.shadow, given)}


def of_canary(given: RolloutEvidence, ramp: RampSection = PLAN.ramp) -> dict[str, Verdict]:
    return {each.gate: each for each in ramp_verdicts(STEP, ramp, given)}


def refused(verdicts: dict[str, Verdict]) -> set[str]:
    return {gate for gate, each in verdicts.items() if not each.passed}


def arms(canary: dict[str, Any] | None = None, stable: dict[str, Any] | None = None, n: int = 6_000) -> RolloutEvidence:
    """Return a canary's evidence with other counts; `bad` may name only some kinds."""

    def made(version: int, changed: dict[str, Any]) -> ArmReport:
        base = arm(version, n)
        return replace(base, **{**changed, "bad": {**base.bad, **changed.get("bad", {})}})

    return with_report(evidence(CANARY), canary=made(NEW, canary or {}), stable=made(STABLE, stable or {}))


class TestShadow:
    def test_a_shadow_in_order_passes_and_says_against_what(self) -> None:
        verdicts = of_shadow(evidence(SHADOW))
        assert refused(verdicts) == set()
        assert verdicts["mirrored"].reasons == ("mirrored requests: 6,000, at least 5,000 needed",)
        assert "PSI of the predictions: 0.05, below 0.2 needed" in verdicts["drift"].reasons

    @pytest.mark.parametrize("mirrored", [4_999, 0, *NO_NUMBERS])
    def test_too_few_mirrored_requests_refuse(self, mirrored: Any) -> None:
        given = with_report(evidence(SHADOW), shadow=shadow(NEW, mirrored))
        assert refused(of_shadow(given)) == {"mirrored"}

    def test_the_bound_itself_is_enough(self) -> None:
        given = with_report(evidence(SHADOW, after_s=1_800), shadow=shadow(NEW, 5_000), drift=Drift(0.199, 300))
        assert refused(of_shadow(given)) == set()

    @pytest.mark.parametrize("drift", [Drift(0.2, 300), Drift(0.05, 299), *(Drift(each, 300) for each in NO_NUMBERS)])
    def test_drift_that_is_large_insufficient_or_no_number_refuses(self, drift: Drift) -> None:
        assert refused(of_shadow(with_report(evidence(SHADOW), drift=drift))) == {"drift"}

    @pytest.mark.parametrize("rows", NO_NUMBERS)
    def test_drift_over_an_unknown_number_of_predictions_refuses(self, rows: Any) -> None:
        assert refused(of_shadow(with_report(evidence(SHADOW), drift=Drift(0.05, rows)))) == {"drift"}

    @pytest.mark.parametrize("seconds", [1_799.0, *NO_NUMBERS])
    def test_the_gateway_must_have_had_the_revision_long_enough(self, seconds: Any) -> None:
        assert refused(of_shadow(with_report(evidence(SHADOW), seconds=seconds))) == {"time"}

    @pytest.mark.parametrize("after_s", [1_799.0, -5.0])
    def test_a_gateways_clock_alone_does_not_end_a_step(self, after_s: float) -> None:
        given = with_report(evidence(SHADOW, after_s=after_s), seconds=90_000.0)
        assert refused(of_shadow(given)) == {"time"}

    def test_a_time_without_a_zone_refuses(self) -> None:
        given = replace(evidence(SHADOW), step_began=datetime(2026, 3, 29))
        assert refused(of_shadow(given)) == {"time"}

    def test_without_a_report_every_guard_refuses(self) -> None:
        assert refused(of_shadow(replace(evidence(SHADOW), report=None))) == {"mirrored", "time", "drift"}
        assert refused(of_shadow(with_report(evidence(SHADOW), shadow=None))) == {"mirrored"}


class TestRamp:
    def test_a_canary_in_order_passes_and_says_every_kind(self) -> None:
        verdicts = of_canary(evidence(CANARY))
        assert refused(verdicts) == set()
        assert all(any(kind in said for said in verdicts["bad_events"].reasons) for kind in BadEvent)
        assert "label_error: not compared, because no labels arrived" in verdicts["bad_events"].reasons

    @pytest.mark.parametrize("side", ["canary", "stable"])
    @pytest.mark.parametrize("requests", [299, 0, *NO_NUMBERS])
    def test_too_few_requests_on_either_side_refuse(self, side: str, requests: Any) -> None:
        assert "requests" in refused(of_canary(arms(**{side: {"requests": requests}})))

    def test_300_users_pass_one_percent_only_with_none_bad(self) -> None:
        none = arms(n=300)
        one = arms(canary={"bad": {"server_error": 1}}, n=300)
        assert refused(of_canary(none)) == set()
        assert refused(of_canary(one)) == {"bad_events"}

    @pytest.mark.parametrize("kind", list(BadEvent))
    def test_each_kind_is_compared_on_its_own(self, kind: BadEvent) -> None:
        bad = {kind.value: 900}
        labelled = {"labelled": 6_000}
        assert refused(of_canary(arms(canary={"bad": bad, **labelled}, stable=dict(labelled)))) == {"bad_events"}

    @pytest.mark.parametrize("kind", list(BadEvent))
    @pytest.mark.parametrize("side", ["canary", "stable"])
    def test_a_kind_that_is_not_named_was_not_counted(self, side: str, kind: BadEvent) -> None:
        version = NEW if side == "canary" else STABLE
        bad = {each.value: 0 for each in BadEvent if each is not kind}
        given = with_report(evidence(CANARY), **{side: arm(version, 6_000, bad=bad)})
        assert refused(of_canary(given)) == {"bad_events"}
        assert any(f"{kind}: " in said and "missing" in said for said in of_canary(given)["bad_events"].reasons)

    @pytest.mark.parametrize("side", ["canary", "stable"])
    @pytest.mark.parametrize("count", [6_001, *NO_NUMBERS])
    def test_an_impossible_count_refuses(self, side: str, count: Any) -> None:
        assert refused(of_canary(arms(**{side: {"bad": {"timeout": count}}}))) == {"bad_events"}

    @pytest.mark.parametrize("side", ["canary", "stable"])
    @pytest.mark.parametrize("users", [0, 6_001, *NO_NUMBERS])
    def test_an_impossible_number_of_users_refuses(self, side: str, users: Any) -> None:
        assert refused(of_canary(arms(**{side: {"users": users}}))) == {"bad_events"}

    def test_an_unknown_kind_of_bad_event_refuses(self) -> None:
        assert refused(of_canary(arms(canary={"bad": {"sulking": 0}}))) == {"bad_events"}

    def test_twice_the_stable_rate_is_allowed_and_no_more(self) -> None:
        stable = {"bad": {"invalid_output": 180}}  # 3 %
        assert refused(of_canary(arms({"bad": {"invalid_output": 320}}, stable))) == set()
        assert refused(of_canary(arms({"bad": {"invalid_output": 340}}, stable))) == {"bad_events"}

    def test_as_slow_as_stable_is_by_construction_passes_also_where_stable_counted_less(self) -> None:
        slow = {"bad": {"slow": 300}}  # 5 % of 6,000
        for counted in (300, 60, 0):
            assert refused(of_canary(arms(slow, {"bad": {"slow": counted}}))) == set()

    def test_much_slower_than_stable_refuses(self) -> None:
        assert refused(of_canary(arms({"bad": {"slow": 660}}, {"bad": {"slow": 300}}))) == {"bad_events"}

    def test_few_users_with_many_requests_are_few_trials(self) -> None:
        one_user_is_broken = {"users": 1, "requests": 6_000, "bad": {"server_error": 1}}
        assert refused(of_canary(arms(one_user_is_broken))) == {"bad_events"}
        twenty_users = {"users": 20, "requests": 6_000}
        assert refused(of_canary(arms(twenty_users))) == {"bad_events"}

    def test_labels_count_as_soon_as_one_side_has_any(self) -> None:
        assert refused(of_canary(arms({"labelled": 0}, {"labelled": 50}))) == {"bad_events"}
        assert refused(of_canary(arms({"labelled": 3}, {"labelled": 50}))) == {"bad_events"}
        assert refused(of_canary(arms({"labelled": 300}, {"labelled": 300}))) == set()
        assert refused(of_canary(arms({"bad": {"label_error": 4}}))) == {"bad_events"}
        wrong = {"bad": {"label_error": 40}, "labelled": 300}
        assert refused(of_canary(arms(wrong, {"labelled": 300}))) == {"bad_events"}

    @pytest.mark.parametrize("labelled", NO_NUMBERS)
    def test_an_impossible_number_of_labels_refuses(self, labelled: Any) -> None:
        assert refused(of_canary(arms({"labelled": labelled}, {"labelled": 300}))) == {"bad_events"}

    def test_a_plan_that_leaves_labels_to_the_judge_says_so(self) -> None:
        verdicts = of_canary(arms({"labelled": 3}, {"labelled": 50}), RampSection(label_errors=False))
        assert refused(verdicts) == set()
        assert any("leaves label errors to the judge" in said for said in verdicts["bad_events"].reasons)

    @pytest.mark.parametrize("seconds", [1_799.0, *NO_NUMBERS])
    def test_a_step_lasts_as_long_as_the_plan_says(self, seconds: Any) -> None:
        assert refused(of_canary(with_report(evidence(CANARY), seconds=seconds))) == {"time"}

    def test_without_a_report_or_an_arm_nothing_passes(self) -> None:
        assert refused(of_canary(replace(evidence(CANARY), report=None))) == {"requests", "time", "bad_events"}
        for side in ("canary", "stable"):
            assert refused(of_canary(with_report(evidence(CANARY), **{side: None}))) == {"requests", "bad_events"}
