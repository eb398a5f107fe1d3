"""The release state machine: whole rollouts with a made-up clock, and every step with one thing broken."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from components.release.machine import entry_verdicts, next_action, next_target, step_verdicts
from components.release.plan import ApprovalsSection, ReleasePlan, ShadowStep, load_plan
from components.release.records import Decision, Placement, Slot, VersionState
from components.release.rollout import Advance, Hold, Pause, RollBack, RolloutEvidence
from components.release.states import describe
from components.types.release import Environment
from tests.rollouts import (
    BEGAN,
    NEW,
    STABLE,
    approval,
    arm,
    evidence,
    health,
    on_the_way,
    report,
    slot,
    stored,
    subject,
    with_report,
)

PLAN = ReleasePlan()
STEPS = on_the_way(PLAN)
ALONE = Placement(stable=STABLE, previous=2)
WAITING = slot(canary=NEW, weight=50)


def advanced(plan: ReleasePlan, here: Slot, given: RolloutEvidence | None = None) -> Slot:
    action = next_action(plan, here, given or evidence(here))
    assert isinstance(action, Advance), describe(plan, here, action)
    assert all(verdict.passed and verdict.reasons for verdict in action.verdicts)
    return here.at(here.rev + 1, action.to)


class TestWholeRollouts:
    def test_a_healthy_version_walks_from_registered_to_stable_under_the_default_plan(self) -> None:
        empty = slot(rev=6)
        assert all(each.passed for each in entry_verdicts(PLAN, empty.env, empty, evidence(empty)))
        here = empty.at(7, replace(empty.placement, candidate=NEW))
        walked, seconds = [], 0.0
        while here.stable != NEW and len(walked) < 9:
            for after_s in range(0, 4_000, 60):  # a tick a minute
                action = next_action(PLAN, here, evidence(here, after_s=after_s, approvals=()))
                assert not isinstance(action, Pause | RollBack), describe(PLAN, here, action)
                if isinstance(action, Hold) and action.needs_person:
                    action = next_action(PLAN, here, evidence(here, after_s=after_s))
                if isinstance(action, Advance):
                    break
            assert isinstance(action, Advance)
            walked.append(action.target)
            seconds += after_s
            here = here.at(here.rev + 1, action.to)
        assert walked == ["shadow", "canary:5", "canary:25", "canary:50", "stable"]
        assert seconds == 4 * 1_800
        assert here.placement == Placement(stable=NEW, previous=STABLE)
        assert isinstance(next_action(PLAN, here, evidence(here)), Hold)

    def test_staging_is_stable_after_its_entry_guards_without_a_server(self) -> None:
        here = slot(Environment.STAGING, candidate=NEW)
        unasked = evidence(here, report=None, served_rev=None, metric_errors=9, approvals=())
        assert advanced(load_plan("staging"), here, unasked).placement == Placement(stable=NEW, previous=STABLE)

    def test_a_first_release_is_stable_after_its_guards_and_its_approvals_and_says_why(self) -> None:
        first = slot(candidate=NEW, stable=None, previous=None)
        unasked = evidence(first, report=None, served_rev=0, previous_loadable=None, approvals=())
        held = next_action(PLAN, first, unasked)
        assert isinstance(held, Hold)
        assert held.needs_person
        assert next_target(PLAN, first) == "stable"
        agreed = replace(unasked, approvals=(approval(first),))
        action = next_action(PLAN, first, agreed)
        assert isinstance(action, Advance)
        assert action.to == Placement(stable=NEW)
        assert any("nothing to compare with" in said for each in action.verdicts for said in each.reasons)

    def test_a_first_release_without_its_evidence_goes_nowhere(self) -> None:
        first = slot(candidate=NEW, stable=None, previous=None)
        assert isinstance(next_action(PLAN, first, evidence(first, stored={})), Hold)

    def test_a_demo_walks_through_in_seconds(self) -> None:
        plan = load_plan("demo")
        here, targets = slot(candidate=NEW), []
        while here.stable != NEW and len(targets) < 9:
            served = report(here, seconds=3, requests=400)
            given = evidence(here, after_s=3, report=served, approvals=())
            targets.append(next_target(plan, here))
            here = advanced(plan, here, given)
        assert targets == ["shadow", "canary:20", "canary:50", "stable"]

    @pytest.mark.parametrize("target", ["shadow", "canary:5", "canary:25", "canary:50"])
    def test_what_the_plan_leaves_out_is_said_aloud(self, target: str) -> None:
        alone = ReleasePlan(approvals=ApprovalsSection(stable=0))
        action = next_action(alone, STEPS[target], evidence(STEPS[target], approvals=()))
        assert isinstance(action, Advance)
        assert any("needs nobody's approval" in said for each in action.verdicts for said in each.reasons)


class TestPausing:
    HERE = slot(canary=NEW, weight=5)
    PAUSED = slot(canary=NEW, weight=5, paused=True)

    def test_a_rollout_without_data_pauses_is_resumed_and_goes_on(self) -> None:
        silent = with_report(evidence(self.HERE), canary=arm(NEW, 6_000, idle_s=301.0))
        action = next_action(PLAN, self.HERE, silent)
        assert isinstance(action, Pause)
        assert "seconds without a request" in action.reason
        assert action.to == Placement(stable=STABLE, previous=2, canary=NEW, weight=5, paused=True)
        here = self.HERE.at(8, action.to)
        held = next_action(PLAN, here, evidence(here, after_s=86_399))
        assert isinstance(held, Hold)
        assert held.needs_person
        resumed = here.at(9, replace(here.placement, paused=False))
        assert advanced(PLAN, resumed).weight == 25

    def test_a_resumed_rollout_needs_fresh_evidence(self) -> None:
        resumed = slot(rev=9, canary=NEW, weight=5)
        of_before = evidence(resumed, report=report(self.HERE))
        assert not isinstance(next_action(PLAN, resumed, of_before), Advance)

    def test_a_pause_that_nobody_ends_is_rolled_back_after_a_day(self) -> None:
        assert isinstance(next_action(PLAN, self.PAUSED, evidence(self.PAUSED, after_s=86_399.9)), Hold)
        action = next_action(PLAN, self.PAUSED, evidence(self.PAUSED, after_s=86_400))
        assert isinstance(action, RollBack)
        assert action.to == ALONE
        assert "nobody ended it" in action.reason

    def test_an_alarm_is_heard_in_a_pause(self) -> None:
        action = next_action(PLAN, self.PAUSED, with_report(evidence(self.PAUSED), alarm="errors"))
        assert isinstance(action, RollBack)

    def test_a_step_that_never_passes_is_paused_after_a_day_with_what_is_missing(self) -> None:
        few = with_report(evidence(self.HERE, after_s=86_399), canary=arm(NEW, 299))
        assert isinstance(next_action(PLAN, self.HERE, few), Hold)
        action = next_action(PLAN, self.HERE, replace(few, now=BEGAN + timedelta(days=1)))
        assert isinstance(action, Pause)
        assert "canary requests: 299, at least 300 needed" in action.reason

    def test_a_step_that_waits_for_approvals_alone_is_not_inconclusive(self) -> None:
        action = next_action(PLAN, WAITING, evidence(WAITING, after_s=200_000, approvals=()))
        assert isinstance(action, Hold)
        assert action.needs_person

    def test_a_slot_that_nobody_looked_at_is_not_inconclusive(self) -> None:
        unasked = evidence(self.HERE, after_s=200_000, report=None, served_rev=None)
        assert isinstance(next_action(PLAN, self.HERE, unasked), Hold)

    @pytest.mark.parametrize("target", ["candidate", "shadow", "canary:5"])
    def test_four_failed_observations_pause(self, target: str) -> None:
        here = STEPS[target]
        down = evidence(here, report=None, served_rev=None, metric_errors=3)
        assert isinstance(next_action(PLAN, here, down), Hold)
        assert isinstance(next_action(PLAN, here, replace(down, metric_errors=4)), Pause)


class TestRollingBack:
    @pytest.mark.parametrize("target", list(STEPS))
    @pytest.mark.parametrize("changed", [{"alarm": "errors"}, {"breaker": "3 of 4 failed"}, {"killed": True}])
    def test_whoever_speaks_takes_the_version_out(self, target: str, changed: dict[str, object]) -> None:
        here = STEPS[target]
        action = next_action(PLAN, here, with_report(evidence(here), **changed))
        assert isinstance(action, RollBack)
        assert (action.to, action.target) == (ALONE, "rolled_back")

    @pytest.mark.parametrize("target", list(STEPS))
    def test_so_do_other_bytes_and_a_version_that_was_rejected(self, target: str) -> None:
        here = STEPS[target]
        other = evidence(here, mismatch="worker 1 found other bytes than promised")
        rejected = evidence(here, subject=subject(state=VersionState.REJECTED))
        for given in (other, rejected):
            action = next_action(PLAN, here, given)
            assert isinstance(action, RollBack)
            assert action.to == ALONE

    @pytest.mark.parametrize("target", ["shadow", "canary:5", "canary:50"])
    def test_servers_that_do_not_follow_in_time_take_it_back(self, target: str) -> None:
        here = STEPS[target]
        behind = evidence(here, after_s=30, served_rev=here.rev - 1)
        assert isinstance(next_action(PLAN, here, behind), Hold)
        action = next_action(PLAN, here, replace(behind, now=BEGAN + timedelta(seconds=30.1)))
        assert isinstance(action, RollBack)
        assert action.to == ALONE

    def test_a_first_candidate_leaves_nothing_behind(self) -> None:
        first = slot(candidate=NEW, stable=None, previous=None)
        action = next_action(PLAN, first, evidence(first, mismatch="other bytes"))
        assert isinstance(action, RollBack)
        assert action.to == Placement()


class TestBakeTime:
    HERE = slot(stable=NEW, previous=STABLE)
    BURNING = health(failed=200)

    def test_a_version_that_burns_its_budget_gives_way_to_the_previous_one(self) -> None:
        action = next_action(PLAN, self.HERE, evidence(self.HERE, stable_health=self.BURNING))
        assert isinstance(action, RollBack)
        assert (action.to, action.target) == (Placement(stable=STABLE, previous=None), "rollback")
        assert "burn rate over 3,600 s" in action.reason

    @pytest.mark.parametrize("loadable", [False, None])
    def test_but_not_to_one_that_does_not_load(self, loadable: bool | None) -> None:
        given = evidence(self.HERE, stable_health=self.BURNING, previous_loadable=loadable)
        action = next_action(PLAN, self.HERE, given)
        assert isinstance(action, Hold)
        assert action.needs_person

    def test_nor_to_nothing(self) -> None:
        alone = slot(stable=NEW, previous=None)
        assert isinstance(next_action(PLAN, alone, evidence(alone, stable_health=self.BURNING)), Hold)

    def test_nor_after_the_bake_time(self) -> None:
        late = evidence(self.HERE, after_s=86_400, stable_health=self.BURNING, served_rev=0)
        assert isinstance(next_action(PLAN, self.HERE, late), Hold)

    def test_nor_again_because_a_later_rollout_came_to_nothing(self) -> None:
        ago = BEGAN - timedelta(days=30)
        given = evidence(self.HERE, after_s=60, stable_health=self.BURNING, stable_since=ago)
        assert isinstance(next_action(PLAN, self.HERE, given), Hold)
        assert isinstance(next_action(PLAN, self.HERE, replace(given, stable_since=BEGAN)), RollBack)

    def test_nor_to_one_that_was_rolled_back_from(self) -> None:
        undone = slot(stable=NEW, previous=STABLE)
        given = evidence(undone, stable_health=self.BURNING, stable_since=None)
        for found in (given, replace(given, mismatch="other bytes"), replace(given, served_rev=0)):
            action = next_action(PLAN, undone, found)
            assert isinstance(action, Hold)
            assert "version 3, which stood before it, is never put back by itself" in describe(PLAN, undone, action)

    def test_nor_in_the_local_environment(self) -> None:
        local = slot(Environment.LOCAL, stable=NEW, previous=STABLE)
        given = evidence(local, stable_health=self.BURNING, served_rev=0)
        assert isinstance(next_action(PLAN, local, given), Hold)

    @pytest.mark.parametrize("changed", [{"served_rev": 0}, {"mismatch": "other bytes"}])
    def test_servers_that_do_not_follow_or_have_other_bytes_go_back(self, changed: dict[str, object]) -> None:
        action = next_action(PLAN, self.HERE, evidence(self.HERE, after_s=31, **changed))
        assert isinstance(action, RollBack)
        assert action.to == Placement(stable=STABLE)

    def test_unknown_health_moves_nothing_and_is_told(self) -> None:
        action = next_action(PLAN, self.HERE, evidence(self.HERE, stable_health={}))
        assert isinstance(action, Hold)
        assert "is not known; is the gateway up?" in describe(PLAN, self.HERE, action)

    def test_an_empty_slot_holds(self) -> None:
        empty = slot(rev=0, stable=None, previous=None)
        assert isinstance(next_action(PLAN, empty, evidence(empty)), Hold)


class TestBakeTimeBesideARollout:
    BURNING = health(STABLE, failed=9_000)
    BACK = Placement(stable=2)

    @pytest.mark.parametrize("paused", [False, True])
    @pytest.mark.parametrize("target", list(STEPS))
    def test_a_stable_version_that_burns_gives_way_and_the_rollout_ends_in_one_placement(
        self, target: str, paused: bool
    ) -> None:
        here = replace(STEPS[target], paused=paused)
        action = next_action(PLAN, here, evidence(here, stable_health=self.BURNING))
        assert isinstance(action, RollBack)
        assert (action.to, action.target) == (self.BACK, "rollback")
        assert "burn rate over 3,600 s" in action.reason
        assert describe(PLAN, here, action).startswith(
            "version 3 is rolled back now, and the rollout of version 4 ends"
        )

    def test_also_when_the_version_on_its_way_is_to_go_itself(self) -> None:
        here = STEPS["canary:5"]
        action = next_action(PLAN, here, with_report(evidence(here, stable_health=self.BURNING), alarm="errors"))
        assert isinstance(action, RollBack)
        assert action.to == self.BACK

    @pytest.mark.parametrize("target", list(STEPS))
    def test_one_that_keeps_its_budget_does_not(self, target: str) -> None:
        here = STEPS[target]
        advanced(PLAN, here, evidence(here, stable_health=health(STABLE, failed=100)))

    @pytest.mark.parametrize(
        "changed",
        [
            {"stable_since": None},
            {"stable_since": BEGAN - timedelta(days=1)},
            {"stable_health": health(NEW, failed=9_000)},
        ],
    )
    def test_nor_one_that_was_rolled_back_to_or_is_past_its_bake_time(self, changed: dict[str, object]) -> None:
        for here in STEPS.values():
            advanced(PLAN, here, evidence(here, **{"stable_health": self.BURNING, **changed}))

    def test_nor_is_there_anything_to_go_back_to_beside_the_second_version(self) -> None:
        here = replace(STEPS["canary:5"], previous=None)
        advanced(PLAN, here, evidence(here, stable_health=self.BURNING))

    @pytest.mark.parametrize("loadable", [False, None])
    @pytest.mark.parametrize("target", list(STEPS))
    def test_where_it_cannot_give_way_the_other_one_does_not_rise_and_a_person_is_asked(
        self, target: str, loadable: bool | None
    ) -> None:
        here = STEPS[target]
        given = evidence(here, stable_health=self.BURNING, older_loadable=loadable)
        for at in (here, replace(here, paused=True)):
            action = next_action(PLAN, at, given)
            assert isinstance(action, Hold)
            assert action.needs_person
            assert "version 2, to which a rollback would go back" in describe(PLAN, at, action)
        assert isinstance(next_action(PLAN, here, with_report(given, alarm="errors")), RollBack)

    def test_a_version_that_is_judged_just_now_is_not_put_in_its_place(self) -> None:
        here = slot(canary=2, weight=5)
        given = evidence(here, subject=subject(2), stable_health=self.BURNING)
        action = next_action(PLAN, here, given)
        assert isinstance(action, Hold)
        assert "is on its way itself; abort that first" in describe(PLAN, here, action)


class TestOneThingMissing:
    """Each guard of each step is wired in: what it alone looks at, broken, keeps the step from being made."""

    @pytest.mark.parametrize("target", list(STEPS))
    def test_with_everything_in_order_each_step_is_made(self, target: str) -> None:
        advanced(PLAN, STEPS[target])

    @pytest.mark.parametrize(
        ("target", "gates"),
        [
            ("candidate", "gates clean_tree contract replay load fresh_report judge approvals"),
            ("shadow", "fresh_report judge mirrored time drift fallback approvals"),
            ("canary:5", "fresh_report judge requests time bad_events fallback approvals"),
            ("canary:25", "fresh_report judge requests time bad_events fallback approvals"),
            ("canary:50", "fresh_report judge requests time bad_events fallback approvals"),
        ],
    )
    def test_these_gates_guard_each_step(self, target: str, gates: str) -> None:
        here = STEPS[target]
        nothing = RolloutEvidence(now=BEGAN, subject=subject(), step_began=BEGAN)
        no = approval(here, target=next_target(PLAN, here), decision=Decision.REJECT)
        verdicts = step_verdicts(PLAN, here, replace(nothing, approvals=(no,)))
        assert [each.gate for each in verdicts] == ["plan", *gates.split()]
        assert {each.gate for each in verdicts if not each.passed} == set(gates.split())

    @pytest.mark.parametrize("target", list(STEPS))
    def test_no_step_is_made_without_a_report_of_this_revision(self, target: str) -> None:
        here = STEPS[target]
        for rev in (here.rev - 1, here.rev + 1):
            assert isinstance(next_action(PLAN, here, with_report(evidence(here), rev=rev)), Hold | Pause)
        assert not isinstance(next_action(PLAN, here, evidence(here, report=None)), Advance)

    def test_nor_from_a_shadow_straight_to_stable(self) -> None:
        plan, here = ReleasePlan(shadow=ShadowStep(seconds=60), canary=()), STEPS["shadow"]
        given = evidence(here, after_s=90)
        assert next_target(plan, here) == "stable"
        assert isinstance(next_action(plan, here, given), Advance)
        assert isinstance(next_action(plan, here, with_report(given, rev=here.rev - 1)), Hold)

    def test_no_step_but_the_last_waits_for_approvals(self) -> None:
        for target, here in STEPS.items():
            action = next_action(PLAN, here, evidence(here, approvals=()))
            assert isinstance(action, Hold if target == "canary:50" else Advance)

    def test_a_hold_for_approvals_needs_a_person_and_any_other_does_not(self) -> None:
        agreed_or_not = next_action(PLAN, WAITING, evidence(WAITING, approvals=()))
        early = next_action(PLAN, WAITING, evidence(WAITING, after_s=60, approvals=()))
        assert isinstance(agreed_or_not, Hold)
        assert isinstance(early, Hold)
        assert (agreed_or_not.needs_person, early.needs_person) == (True, False)

    def test_evidence_about_another_version_moves_nothing(self) -> None:
        for here in STEPS.values():
            action = next_action(PLAN, here, evidence(here, subject=subject(NEW + 1)))
            assert isinstance(action, Hold)
            assert action.needs_person

    def test_two_versions_on_their_way_move_nothing(self) -> None:
        two = slot(canary=NEW, weight=5, shadow=9)
        action = next_action(PLAN, two, evidence(two))
        assert isinstance(action, Hold)
        assert action.needs_person

    def test_a_weight_that_the_plan_does_not_have_moves_nothing_and_says_what_to_do(self) -> None:
        foreign = slot(canary=NEW, weight=7)
        action = next_action(PLAN, foreign, evidence(foreign))
        assert isinstance(action, Hold)
        assert action.needs_person
        assert "only shadow, canary:5, canary:25, canary:50; abort" in action.verdicts[0].reasons[0]

    def test_a_contract_with_an_earlier_stable_version_does_not_count(self) -> None:
        here = STEPS["candidate"]
        assert isinstance(next_action(PLAN, here, evidence(here, stored=stored(against=2))), Hold)
