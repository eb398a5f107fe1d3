"""Whether what is looked at is what is moved, and whether the judge spoke: each broken input refuses."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from components.release.guards import integrity
from components.release.plan import ReleasePlan
from components.release.records import VersionState
from tests.rollouts import (
    BEGAN,
    NEW,
    STABLE,
    arm,
    evidence,
    shadow,
    slot,
    subject,
    with_report,
)

PLAN = ReleasePlan()
NAN, INFINITY = math.nan, math.inf
SHADOW = slot(shadow=NEW)
CANARY = slot(canary=NEW, weight=5)


class TestIntegrity:
    def test_a_fresh_report_passes(self) -> None:
        assert integrity.fresh_report(CANARY, evidence(CANARY)).passed

    @pytest.mark.parametrize(
        "changed",
        [
            {"model": "another"},
            {"rev": CANARY.rev - 1},
            {"rev": CANARY.rev + 1},
            {"stable": None},
            {"stable": arm(STABLE + 10, 300)},
            {"canary": None},
            {"canary": arm(NEW + 10, 300)},
            {"shadow": shadow(NEW, 300)},
        ],
    )
    def test_a_report_about_something_else_is_not_fresh(self, changed: dict[str, Any]) -> None:
        assert not integrity.fresh_report(CANARY, with_report(evidence(CANARY), **changed)).passed

    def test_no_report_or_servers_elsewhere_are_not_fresh(self) -> None:
        assert not integrity.fresh_report(CANARY, replace(evidence(CANARY), report=None)).passed
        for served in (None, CANARY.rev - 1, CANARY.rev + 1):
            assert not integrity.fresh_report(CANARY, replace(evidence(CANARY), served_rev=served)).passed

    @pytest.mark.parametrize("e_value", [100.0, INFINITY, NAN, -1.0, None])
    def test_an_e_value_that_is_high_or_no_number_is_not_calm(self, e_value: Any) -> None:
        assert not integrity.calm(PLAN, with_report(evidence(CANARY), e_value=e_value)).passed

    @pytest.mark.parametrize("e_value", [NAN, -1.0, None, INFINITY])
    def test_no_kinds_e_value_may_be_something_else_than_a_number(self, e_value: Any) -> None:
        assert not integrity.calm(PLAN, with_report(evidence(CANARY), e_values={"slow": e_value})).passed

    @pytest.mark.parametrize(
        "changed", [{"alarm": "errors"}, {"alarm": ""}, {"breaker": "3 of 4"}, {"killed": True}, {"e_value": 100.0}]
    )
    @pytest.mark.parametrize("of", [CANARY, SHADOW])
    def test_whoever_speaks_harms(self, of: Any, changed: dict[str, Any]) -> None:
        given = with_report(evidence(of), **changed)
        assert not integrity.unharmed(PLAN, of, given).passed
        assert not integrity.calm(PLAN, given).passed

    def test_an_alarm_of_the_step_before_counts_and_one_of_another_version_does_not(self) -> None:
        before = with_report(evidence(CANARY), alarm="errors", rev=CANARY.rev - 1)
        assert not integrity.unharmed(PLAN, CANARY, before).passed
        other = with_report(before, canary=arm(NEW - 2, 300))
        assert integrity.unharmed(PLAN, CANARY, other).passed
        elsewhere = with_report(evidence(CANARY), alarm="errors", model="another")
        assert integrity.unharmed(PLAN, CANARY, elsewhere).passed

    def test_bytes_that_are_not_promised_and_versions_that_may_not_run_harm(self) -> None:
        assert not integrity.unharmed(PLAN, CANARY, replace(evidence(CANARY), mismatch="worker 1 found others")).passed
        for state in (VersionState.REJECTED, VersionState.QUARANTINED):
            given = replace(evidence(CANARY), subject=subject(state=state))
            assert not integrity.unharmed(PLAN, CANARY, given).passed

    @pytest.mark.parametrize(("loadable", "passed"), [(True, True), (False, False), (None, False), (NAN, False)])
    def test_what_a_rollback_needs_must_be_verified(self, loadable: Any, passed: bool) -> None:
        assert integrity.fallback(CANARY, replace(evidence(CANARY), previous_loadable=loadable)).passed is passed

    def test_a_canary_beside_nothing_has_no_fallback(self) -> None:
        alone = slot(canary=NEW, weight=5, stable=None)
        assert not integrity.fallback(alone, evidence(alone)).passed

    @pytest.mark.parametrize(
        ("served", "after_s", "passed"), [(7, 99.0, True), (8, 99.0, True), (6, 30.0, True), (6, 31.0, False)]
    )
    def test_servers_have_so_long_to_follow(self, served: int, after_s: float, passed: bool) -> None:
        given = replace(evidence(CANARY, after_s=after_s), served_rev=served)
        assert integrity.confirmed(PLAN, CANARY, given).passed is passed

    def test_servers_that_started_anew_have_as_long_again(self) -> None:
        behind = replace(evidence(CANARY), served_rev=0, behind_since=BEGAN + timedelta(seconds=1_980))
        assert integrity.confirmed(PLAN, CANARY, behind).passed
        longer = replace(behind, behind_since=BEGAN + timedelta(seconds=1_960))
        assert not integrity.confirmed(PLAN, CANARY, longer).passed

    @pytest.mark.parametrize(
        "other",
        [subject(NEW + 1), subject(model="another"), subject(digest="")],
    )
    def test_evidence_is_about_the_version_on_its_way(self, other: Any) -> None:
        assert integrity.right_subject(CANARY, evidence(CANARY)).passed
        assert not integrity.right_subject(CANARY, replace(evidence(CANARY), subject=other)).passed

    @pytest.mark.parametrize("two", [slot(canary=NEW, shadow=5, weight=5), slot(canary=NEW, stable=NEW, weight=5)])
    def test_one_version_at_a_time_is_on_its_way(self, two: Any) -> None:
        assert not integrity.right_subject(two, evidence(two)).passed
