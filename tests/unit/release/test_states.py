"""Where a version stands, what comes next, and what may enter an environment."""

from __future__ import annotations

from dataclasses import replace

import pytest

from components.errors import (
    BadInputError,
    ConflictError,
    GateRefusedError,
    StaleRevisionError,
    TowpathError,
    UnknownNameError,
)
from components.release.plan import ReleasePlan, load_plan
from components.release.records import Event, Placement, RecordedVersion, Slot, VersionState
from components.release.rollout import Advance, Hold, Pause, RollBack
from components.release.states import Standing, State, describe, may_enter, next_step, stable_since, state_of
from components.types.evaluation import Verdict
from components.types.record import canonical_json
from components.types.release import Environment
from tests.rollouts import NEW, STABLE, slot, subject

PLAN = ReleasePlan()


def history(*steps: tuple[int, str, Placement]) -> tuple[Event, ...]:
    """Return the events of moves, each of a version, to a target, with the placement afterwards."""
    events, before = [], Placement()
    for rev, (version, target, after) in enumerate(steps, start=1):
        names = ("artifact", "data", "code", "lock", "gate_config", "evidence")
        digests = {f"{name}_digest": "0" * 64 for name in names}
        told = {
            "actor": "towpath",
            "reason": "",
            "time": f"2026-03-29T0{rev}:00:00+00:00",
            "prev_hash": "",
            "hash": "",
            "op_id": str(rev),
        }
        placed = {"from_slot": canonical_json(before), "to_slot": canonical_json(after)}
        place = {"model": "taxi", "env": Environment.PRODUCTION, "rev": rev, "version": version, "target": target}
        events.append(Event(**place, **placed, **digests, **told))
        before = after
    return tuple(events)


def at(events: tuple[Event, ...], after: Placement) -> Slot:
    return slot(stable=None, previous=None).at(len(events), after)


class TestStanding:
    @pytest.mark.parametrize(
        ("placed", "text", "weight"),
        [
            ({"candidate": NEW}, "candidate", 0),
            ({"shadow": NEW}, "shadow", 0),
            ({"canary": NEW, "weight": 25}, "canary", 25),
            ({"canary": NEW, "weight": 25, "paused": True}, "paused(canary)", 25),
            ({"shadow": NEW, "paused": True}, "paused(shadow)", 0),
            ({"candidate": NEW, "paused": True}, "paused(candidate)", 0),
            ({"stable": NEW}, "stable", 0),
            ({"previous": NEW}, "registered", 0),
            ({}, "registered", 0),
        ],
    )
    def test_the_slot_says_where_a_version_stands(self, placed: dict[str, int], text: str, weight: int) -> None:
        state = state_of(subject(), slot(**placed), ())
        assert (str(state), state.weight) == (text, weight)

    @pytest.mark.parametrize("state", [VersionState.REJECTED, VersionState.QUARANTINED])
    def test_a_version_that_may_not_be_released_is_that_first_of_all(self, state: VersionState) -> None:
        assert str(state_of(subject(state=state), slot(canary=NEW, weight=5), ())) == state.value

    def test_events_tell_how_a_version_went(self) -> None:
        first, second = Placement(stable=1), Placement(stable=2, previous=1)
        events = history(
            (1, "stable", first),
            (2, "candidate", replace(first, candidate=2)),
            (2, "stable", second),
            (3, "shadow", replace(second, shadow=3)),
            (3, "rolled_back", second),
            (4, "candidate", replace(second, candidate=4)),
            (4, "stable", Placement(stable=4, previous=2)),
        )
        here = at(events, Placement(stable=4, previous=2))
        told = {number: str(state_of(subject(number), here, events)) for number in range(1, 6)}
        assert told == {1: "superseded", 2: "superseded", 3: "rolled_back", 4: "stable", 5: "registered"}

    def test_a_stable_version_that_was_undone_is_rolled_back_and_not_superseded(self) -> None:
        events = history(
            (1, "stable", Placement(stable=1)),
            (2, "stable", Placement(stable=2, previous=1)),
            (2, "rollback", Placement(stable=1)),
        )
        here = at(events, Placement(stable=1))
        assert [str(state_of(subject(number), here, events)) for number in (1, 2)] == ["stable", "rolled_back"]

    def test_a_version_that_an_operator_undid_is_rolled_back_though_it_is_kept_as_the_previous_one(self) -> None:
        undone = Placement(stable=1, previous=2)
        events = history(
            (1, "stable", Placement(stable=1)),
            (2, "stable", Placement(stable=2, previous=1)),
            (1, "rollback", undone),
        )
        here = at(events, undone)
        assert [str(state_of(subject(number), here, events)) for number in (1, 2)] == ["stable", "rolled_back"]
        with pytest.raises(GateRefusedError, match="version 2 of taxi is rolled_back in staging"):
            may_enter(subject(2), Environment.PRODUCTION, slot(), state_of(subject(2), here, events))

    def test_it_stays_rolled_back_when_another_one_is_promoted_or_rolled_back_after_it(self) -> None:
        moves = [
            (1, "stable", Placement(stable=1)),
            (2, "stable", Placement(stable=2, previous=1)),
            (3, "stable", Placement(stable=3, previous=2)),
            (2, "rollback", Placement(stable=2, previous=3)),
        ]
        for last in ((4, "stable", Placement(stable=4, previous=2)), (1, "rollback", Placement(stable=1, previous=2))):
            events = history(*moves, last)
            assert str(state_of(subject(3), at(events, last[2]), events)) == "rolled_back"

    def test_a_version_that_an_operator_put_back_is_superseded_by_the_next_one(self) -> None:
        events = history(
            (1, "stable", Placement(stable=1)),
            (2, "stable", Placement(stable=2, previous=1)),
            (1, "rollback", Placement(stable=1, previous=2)),
            (3, "candidate", Placement(stable=1, previous=2, candidate=3)),
            (3, "stable", Placement(stable=3, previous=1)),
        )
        here = at(events, Placement(stable=3, previous=1))
        told = [str(state_of(subject(number), here, events)) for number in (1, 2, 3)]
        assert told == ["superseded", "rolled_back", "stable"]

    def test_a_rollback_beside_a_rollout_takes_both_back(self) -> None:
        beside = Placement(stable=2, previous=1, shadow=3)
        events = history(
            (1, "stable", Placement(stable=1)),
            (2, "stable", Placement(stable=2, previous=1)),
            (3, "shadow", beside),
            (3, "rollback", Placement(stable=1)),
        )
        here = at(events, Placement(stable=1))
        assert [str(state_of(subject(number), here, events)) for number in (2, 3)] == ["rolled_back"] * 2

    def test_a_version_that_comes_again_after_a_rollback_is_where_it_is_now(self) -> None:
        base = Placement(stable=1)
        events = history(
            (1, "stable", base),
            (2, "canary:5", replace(base, canary=2, weight=5)),
            (2, "rolled_back", base),
            (2, "candidate", replace(base, candidate=2)),
        )
        assert str(state_of(subject(2), at(events, replace(base, candidate=2)), events)) == "candidate"


class TestStableSince:
    EVENTS = history(
        (1, "stable", Placement(stable=1)),
        (2, "candidate", Placement(stable=1, candidate=2)),
        (2, "stable", Placement(stable=2, previous=1)),
        (3, "candidate", Placement(stable=2, previous=1, candidate=3)),
        (3, "rolled_back", Placement(stable=2, previous=1)),
    )

    def test_a_rollout_that_came_to_nothing_does_not_begin_it_anew(self) -> None:
        since = stable_since(at(self.EVENTS, Placement(stable=2, previous=1)), self.EVENTS)
        assert since is not None
        assert since.isoformat() == "2026-03-29T03:00:00+00:00"

    @pytest.mark.parametrize("previous", [2, None])
    def test_a_rollback_begins_none_so_that_what_was_undone_is_not_put_back_by_itself(
        self, previous: int | None
    ) -> None:
        undone = Placement(stable=1, previous=previous)
        events = history(
            (1, "stable", Placement(stable=1)),
            (2, "stable", Placement(stable=2, previous=1)),
            (1, "rollback", undone),
            (3, "candidate", replace(undone, candidate=3)),
            (3, "rolled_back", undone),
        )
        assert stable_since(at(events, undone), events) is None

    def test_nothing_is_known_of_an_empty_slot_or_of_another_history(self) -> None:
        assert stable_since(slot(stable=None), ()) is None
        assert stable_since(slot(stable=9), self.EVENTS) is None


class TestNextStep:
    def way(self, plan: ReleasePlan, start: Slot) -> list[str]:
        targets, here = [], start
        while (step := next_step(plan, here)) is not None:
            targets.append(step.target)
            here = here.at(here.rev + 1, step.to)
            assert here.paused is False
            assert len(targets) < 20
        return targets

    def test_the_default_plan_goes_through_every_step(self) -> None:
        assert self.way(PLAN, slot(candidate=NEW)) == ["shadow", "canary:5", "canary:25", "canary:50", "stable"]

    def test_staging_goes_straight_to_stable_and_says_what_it_leaves_out(self) -> None:
        start = slot(Environment.STAGING, candidate=NEW)
        assert self.way(load_plan("staging"), start) == ["stable"]
        step = next_step(load_plan("staging"), start)
        assert step is not None
        assert [said.split(":")[0] for said in step.said] == ["the plan has no shadow", "the plan has no canary"]

    def test_a_first_release_goes_straight_to_stable_and_says_so(self) -> None:
        first = slot(candidate=NEW, stable=None, previous=None)
        assert self.way(PLAN, first) == ["stable"]
        step = next_step(PLAN, first)
        assert step is not None
        assert step.to == Placement(stable=NEW, previous=None)
        assert "nothing to compare with" in step.said[0]

    def test_a_plan_without_shadow_says_so_at_every_step(self) -> None:
        plan = ReleasePlan(shadow=None)
        assert self.way(plan, slot(candidate=NEW)) == ["canary:5", "canary:25", "canary:50", "stable"]
        step = next_step(plan, slot(candidate=NEW))
        assert step is not None
        assert "no shadow" in step.said[0]

    def test_each_placement_keeps_stable_and_previous_until_the_version_is_stable(self) -> None:
        assert [
            step.to
            for here in (slot(candidate=NEW), slot(shadow=NEW), slot(canary=NEW, weight=5), slot(canary=NEW, weight=50))
            if (step := next_step(PLAN, here))
        ] == [
            Placement(stable=STABLE, previous=2, shadow=NEW),
            Placement(stable=STABLE, previous=2, canary=NEW, weight=5),
            Placement(stable=STABLE, previous=2, canary=NEW, weight=25),
            Placement(stable=NEW, previous=STABLE),
        ]

    def test_where_the_plan_has_no_such_step_nothing_follows(self) -> None:
        assert next_step(PLAN, slot(canary=NEW, weight=7)) is None
        assert next_step(ReleasePlan(shadow=None), slot(shadow=NEW)) is None
        assert next_step(PLAN, slot()) is None


def entering(
    version: RecordedVersion | None = None,
    env: Environment = Environment.PRODUCTION,
    here: Slot | None = None,
    source: State | Standing | None = Standing.STABLE,
) -> None:
    may_enter(version or subject(), env, here or slot(env), source)


class TestEntering:
    @pytest.mark.parametrize("env", [Environment.STAGING, Environment.PRODUCTION])
    @pytest.mark.parametrize("source", [Standing.STABLE, Standing.SUPERSEDED, State(Standing.STABLE)])
    def test_what_was_stable_in_the_environment_before_may_enter(
        self, env: Environment, source: State | Standing
    ) -> None:
        entering(env=env, source=source)

    @pytest.mark.parametrize(
        ("changed", "error", "said"),
        [
            ({"source": None}, BadInputError, "never stable in staging.*promote it to staging first"),
            ({"source": Standing.REGISTERED}, BadInputError, "no environment may be skipped"),
            ({"source": Standing.CANARY}, BadInputError, "still canary in staging"),
            ({"source": State(Standing.SHADOW, paused=True)}, BadInputError, "still shadow in staging"),
            ({"source": Standing.CANDIDATE, "env": Environment.STAGING}, BadInputError, "still candidate in local"),
            ({"source": Standing.ROLLED_BACK}, GateRefusedError, "rolled_back in staging"),
            ({"source": Standing.REJECTED}, GateRefusedError, "rejected in staging"),
            ({"version": subject(state=VersionState.REJECTED)}, GateRefusedError, "is rejected"),
            ({"version": subject(state=VersionState.QUARANTINED)}, GateRefusedError, "is quarantined"),
            ({"env": Environment.LOCAL}, BadInputError, "name staging or production"),
            ({"here": slot(stable=NEW)}, ConflictError, "stable in production already"),
            ({"here": slot(candidate=9)}, ConflictError, "version 9 is on its way there at revision 7.*abort it"),
            ({"here": slot(shadow=9)}, ConflictError, "version 9 is on its way"),
            ({"here": slot(canary=9, weight=5, paused=True)}, ConflictError, "version 9 is on its way"),
            ({"here": slot(canary=NEW, weight=5)}, ConflictError, "itself is on its way"),
        ],
    )
    def test_everything_else_is_refused_in_a_sentence(
        self, changed: dict[str, object], error: type[TowpathError], said: str
    ) -> None:
        with pytest.raises(error, match=said) as raised:
            entering(**changed)  # type: ignore[arg-type]
        assert "\n" not in str(raised.value)
        assert not isinstance(raised.value, StaleRevisionError)

    def test_a_version_that_nobody_registered_is_refused(self) -> None:
        with pytest.raises(UnknownNameError, match="not registered; `towpath run taxi`"):
            may_enter(None, Environment.STAGING, slot(), None)


class TestDescribing:
    REFUSED = Verdict("time", False, ("since the commit: 3 s, at least 1,800 s needed",))
    PASSED = Verdict("mirrored", True, ("mirrored requests: 6,000, at least 5,000 needed",))

    def test_a_step_that_waits_says_where_to_and_what_is_missing(self) -> None:
        said = describe(PLAN, slot(shadow=NEW), Hold((self.PASSED, self.REFUSED)))
        assert said == "version 4 goes to canary:5 next; missing: since the commit: 3 s, at least 1,800 s needed"

    def test_what_two_gates_lack_is_said_once(self) -> None:
        lacking = Verdict("ramp", False, self.REFUSED.reasons)
        said = describe(PLAN, slot(shadow=NEW), Hold((self.REFUSED, lacking)))
        assert said == "version 4 goes to canary:5 next; missing: since the commit: 3 s, at least 1,800 s needed"

    def test_a_pause_says_that_a_person_is_needed(self) -> None:
        said = describe(PLAN, slot(canary=NEW, weight=5, paused=True), Hold((self.PASSED,), needs_person=True))
        assert "waits for a person to resume or abort it" in said

    def test_every_action_is_one_sentence_about_its_version(self) -> None:
        here = slot(canary=NEW, weight=5)
        goes = describe(PLAN, here, Advance("canary:25", Placement(), (self.PASSED,)))
        assert goes == "version 4 goes to canary:25 now: all 1 gates pass"
        assert describe(PLAN, here, Pause(Placement(), "no data")) == "version 4 is paused now: no data"
        assert describe(PLAN, here, RollBack(Placement(), "alarm")) == "version 4 is rolled back now: alarm"
        assert describe(PLAN, slot(), RollBack(Placement(), "burns")) == "version 3 is rolled back now: burns"
        both = describe(PLAN, here, RollBack(Placement(stable=2), "burns", target="rollback"))
        assert both == "version 3 is rolled back now, and the rollout of version 4 ends: burns"

    def test_an_empty_slot_and_a_foreign_step_are_told_too(self) -> None:
        assert describe(PLAN, slot(stable=None), Hold(())) == "nothing of taxi stands in production yet"
        assert describe(PLAN, slot(canary=NEW, weight=7), Hold((self.REFUSED,))).startswith("version 4 cannot go on")
