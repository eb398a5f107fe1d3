"""Ticks over a real ledger: what moves a rollout, what stops it, and what happens when ticks meet or die."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from components.errors import AlreadyRunningError, GateRefusedError, StaleRevisionError
from components.release.records import Placement, Slot
from components.types.release import Role
from pipelines.release.apply import apply_outbox, split_of
from pipelines.release.commit import Move, commit
from pipelines.release.observe import keep_plan
from pipelines.release.rounds import tick_all
from pipelines.release.tick import tick
from tests.releases import MODEL, MemoryEnvironment, healthy_report, quick_plan, ref

pytestmark = pytest.mark.slow
"""MLflow is imported: seconds."""

Place = Callable[..., Slot]


def watched(env: MemoryEnvironment, slot: Slot, **changes: Any) -> None:
    """Let the judge report on a slot."""
    env.memory.report = healthy_report(slot, **changes)


def test_a_healthy_version_goes_from_shadow_to_stable_one_step_a_tick(env: MemoryEnvironment, place: Place) -> None:
    plan = quick_plan()
    place("stable", 1, plan, stable=1)
    slot = place("shadow", 2, plan, stable=1, shadow=2)
    went = []
    for _ in range(3):
        watched(env, slot)
        looked = tick(env, MODEL)
        went.append(looked.target)
        assert looked.target, [each for each in looked.verdicts if not each.passed]
        slot = env.ledger().slot(MODEL, env.name)
    assert went == ["canary:5", "canary:50", "stable"]
    assert (slot.stable, slot.previous, slot.canary) == (2, 1, None)
    assert env.memory.traffic() == split_of(slot)
    assert env.ledger().verify(MODEL, env.name).intact


def test_a_tick_without_a_fresh_report_raises_nothing(env: MemoryEnvironment, place: Place) -> None:
    plan = quick_plan()
    place("stable", 1, plan, stable=1)
    slot = place("canary:5", 2, plan, stable=1, canary=2, weight=5)
    watched(env, slot, rev=slot.rev - 1)
    assert tick(env, MODEL).action == "hold"
    env.memory.report = None
    assert tick(env, MODEL).action == "hold"
    assert env.ledger().slot(MODEL, env.name) == slot


@pytest.mark.parametrize("word", [{"alarm": "server errors"}, {"breaker": "3 of 3"}, {"killed": True}])
def test_an_alarm_the_breaker_and_the_kill_switch_roll_back_at_the_next_tick(
    env: MemoryEnvironment, place: Place, word: dict[str, Any]
) -> None:
    place("stable", 1, quick_plan(), stable=1)
    slot = place("canary:5", 2, quick_plan(), stable=1, canary=2, weight=5)
    watched(env, slot, weight=0, **word)
    assert tick(env, MODEL).target == "rolled_back"
    after = env.ledger().slot(MODEL, env.name)
    assert after.placement == Placement(stable=1)
    assert env.memory.traffic().canary is None


def test_four_failed_observations_in_a_row_pause_and_one_good_one_in_between_does_not(
    env: MemoryEnvironment, place: Place
) -> None:
    place("stable", 1, quick_plan(), stable=1)
    slot = place("canary:5", 2, quick_plan(), stable=1, canary=2, weight=5)
    unfinished = replace(healthy_report(slot), seconds=0.0)
    plan_needs_more = replace(unfinished, canary=replace(unfinished.canary, requests=10, users=10))  # type: ignore[type-var]
    for down in (True, True, True, False, True, True, True):
        env.memory.report = plan_needs_more
        env.memory.down = down
        assert tick(env, MODEL).action == "hold"
    assert tick(env, MODEL).action == "pause"
    assert env.ledger().slot(MODEL, env.name).paused
    env.memory.down = False
    watched(env, env.ledger().slot(MODEL, env.name))
    assert tick(env, MODEL).needs_person


def test_changed_bytes_take_a_canary_out(env: MemoryEnvironment, place: Place) -> None:
    place("stable", 1, quick_plan(), stable=1)
    slot = place("canary:5", 2, quick_plan(), stable=1, canary=2, weight=5)
    watched(env, slot)
    stored = env.store().path(ref(env, 2).digest) / "model.onnx"
    stored.chmod(0o644)
    stored.write_bytes(b"graph x")
    looked = tick(env, MODEL)
    assert looked.target == "rolled_back"
    assert any("digest" in sentence for sentence in looked.sentences)


def test_nothing_is_promoted_while_what_a_rollback_needs_is_damaged(env: MemoryEnvironment, place: Place) -> None:
    place("stable", 1, quick_plan(), stable=1)
    slot = place("canary:50", 2, quick_plan(), stable=1, canary=2, weight=50)
    watched(env, slot)
    stored = env.store().path(ref(env, 1).digest) / "model.onnx"
    stored.chmod(0o644)
    stored.write_bytes(b"gone")
    assert tick(env, MODEL).action == "hold"


def test_ticks_at_once_move_a_rollout_by_one_step(env: MemoryEnvironment, place: Place) -> None:
    place("stable", 1, quick_plan(), stable=1)
    slot = place("shadow", 2, quick_plan(), stable=1, shadow=2)
    watched(env, slot)
    with ThreadPoolExecutor(8) as pool:
        looked = [each for ticked in pool.map(lambda _: tick_all(env), range(8)) for each in ticked]
    assert sorted(each.target for each in looked if each.target) == ["canary:5"]
    assert env.ledger().slot(MODEL, env.name).rev == slot.rev + 1


def test_a_tick_that_slept_through_its_lease_is_fenced(env: MemoryEnvironment, place: Place) -> None:
    slot = place("stable", 1, quick_plan(), stable=1)
    ledger = env.ledger()
    asleep = ledger.acquire("rollout/taxi/production", "asleep", 0.05)
    time.sleep(0.1)
    ledger.acquire("rollout/taxi/production", "awake", 60.0)
    move = Move(
        version=2,
        target="canary:5",
        to=Placement(stable=1, canary=2, weight=5),
        actor="towpath",
        reason="late",
        plan_digest="p" * 64,
    )
    with pytest.raises(StaleRevisionError):
        commit(env, slot, move, asleep)
    assert ledger.slot(MODEL, env.name) == slot
    with pytest.raises(AlreadyRunningError):
        tick(env, MODEL)


def test_what_was_committed_and_not_applied_is_applied_by_whoever_ticks_next(
    env: MemoryEnvironment, place: Place
) -> None:
    place("stable", 1, quick_plan(), stable=1)
    slot = env.ledger().slot(MODEL, env.name)
    to = Placement(stable=1, shadow=2)
    plan = quick_plan()
    keep_plan(env, slot, env.ledger().version(MODEL, 2), "test", plan)
    commit(env, slot, Move(version=2, target="shadow", to=to, actor="eve", reason="r", plan_digest=plan.digest))
    assert env.memory.traffic().shadow is None  # died between commit and router
    env.memory.report = None
    tick(env, MODEL)
    after = env.ledger().slot(MODEL, env.name)
    assert env.memory.traffic() == split_of(after)
    assert not env.ledger().pending(env.name)


def test_a_target_that_is_down_leaves_its_row_open_and_the_aliases_go_on(env: MemoryEnvironment, place: Place) -> None:
    place("stable", 1, quick_plan(), stable=1)
    env.memory.down = True
    slot = env.ledger().slot(MODEL, env.name)
    to = Placement(stable=2, previous=1)
    commit(env, slot, Move(version=2, target="stable", to=to, actor="eve", reason="r", plan_digest="p" * 64))
    applied = {each.sink: each.problem for each in apply_outbox(env, MODEL)}
    assert applied["router"]
    assert not applied["aliases"]
    found = env.registry().read_aliases(MODEL, prefix=env.alias_prefix)
    assert (found.champion, found.rev) == (2, slot.rev + 1)
    env.memory.down = False
    assert [each.sink for each in apply_outbox(env, MODEL)] == ["router"]


def test_servers_that_never_take_a_revision_over_are_rolled_back(env: MemoryEnvironment, place: Place) -> None:
    plan = quick_plan(confirm_s=0.2)
    place("stable", 1, plan, stable=1)
    env.memory.confirms = False
    slot = place("canary:5", 2, plan, stable=1, canary=2, weight=5)
    watched(env, slot)
    assert tick(env, MODEL).action == "hold"
    time.sleep(0.3)
    assert tick(env, MODEL).target == "rolled_back"


def test_stable_needs_its_approvals(env: MemoryEnvironment, place: Place) -> None:
    from components.release.records import Decision
    from pipelines.release.actors import Actor
    from pipelines.release.approvals import speak
    from pipelines.release.environment_config import Right

    plan = quick_plan(approvals={"stable": 2})
    place("stable", 1, plan, stable=1)
    slot = place("canary:50", 2, plan, stable=1, canary=2, weight=50)
    watched(env, slot)
    everybody = {name: Actor(name, "production", frozenset(Right), verified=True) for name in ("eve", "bob", "ada")}
    assert tick(env, MODEL).needs_person
    speak(env, MODEL, everybody["eve"], Decision.APPROVE, "looks good", slot.rev)
    speak(env, MODEL, everybody["eve"], Decision.APPROVE, "looks good", slot.rev)
    with pytest.raises(GateRefusedError, match="author"):
        speak(env, MODEL, everybody["ada"], Decision.APPROVE, "my own", slot.rev)
    assert tick(env, MODEL).needs_person
    speak(env, MODEL, everybody["bob"], Decision.APPROVE, "yes", slot.rev)
    assert tick(env, MODEL).target == "stable"


def test_bake_time_puts_the_previous_version_back_when_the_error_budget_burns(
    env: MemoryEnvironment, place: Place
) -> None:
    from components.types.judging import Health

    plan = quick_plan()
    place("stable", 1, plan, stable=1)
    place("stable", 2, plan, stable=2, previous=1)
    env.memory.healths[Role.STABLE] = Health(Role.STABLE, 2, 1_000, {"server_error": 100}, 3_600.0)
    looked = tick(env, MODEL)
    assert looked.target == "rollback"
    assert env.ledger().slot(MODEL, env.name).placement == Placement(stable=1)
