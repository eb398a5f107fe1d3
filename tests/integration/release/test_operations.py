"""What a person may do to a rollout, and what keeps the world and the ledger together."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from components.errors import (
    BadInputError,
    ConflictError,
    DigestMismatchError,
    GateRefusedError,
    StaleRevisionError,
    TowpathError,
    UnknownNameError,
)
from components.release.records import Placement, Slot, VersionState
from pipelines.release import operate
from pipelines.release.actors import Actor
from pipelines.release.apply import split_of
from pipelines.release.environments import load_environment
from pipelines.release.reconcile import reconcile
from pipelines.release.tick import tick
from tests.releases import MODEL, MemoryEnvironment, healthy_report, quick_plan, ref

pytestmark = pytest.mark.slow
"""MLflow is imported: seconds."""

Place = Callable[..., Slot]


@pytest.fixture
def canary(place: Place) -> Slot:
    """Return a slot with a canary at 5 %."""
    place("stable", 1, quick_plan(), stable=1)
    return place("canary:5", 2, quick_plan(), stable=1, canary=2, weight=5)


def deployed_versions(env: MemoryEnvironment) -> set[int]:
    """Return the versions that the target was told to load."""
    return {call.what[1].version for call in env.memory.history if call.verb == "deploy"}  # type: ignore[index]


def test_a_paused_rollout_keeps_its_traffic_and_goes_on_when_resumed(
    env: MemoryEnvironment, canary: Slot, eve: Actor
) -> None:
    operate.carry_out(env, operate.pause(env, MODEL, eve, "lunch"), 1.0)
    paused = env.ledger().slot(MODEL, env.name)
    assert paused.placement == Placement(stable=1, canary=2, weight=5, paused=True)
    assert env.memory.traffic().weight == 5
    env.memory.report = healthy_report(paused)
    assert tick(env, MODEL).action == "hold"
    done = operate.carry_out(env, operate.resume(env, MODEL, eve, "back"), 1.0)
    assert done.served
    env.memory.report = healthy_report(env.ledger().slot(MODEL, env.name))
    assert tick(env, MODEL).target == "canary:50"


def test_an_abort_gives_the_stable_version_everything(env: MemoryEnvironment, canary: Slot, eve: Actor) -> None:
    done = operate.carry_out(env, operate.abort(env, MODEL, eve, "no"), 1.0)
    assert done.served
    assert env.memory.traffic() == split_of(env.ledger().slot(MODEL, env.name))
    assert env.memory.traffic().canary is None


def test_a_rollback_puts_the_previous_version_back_without_loading_it(
    env: MemoryEnvironment, place: Place, eve: Actor
) -> None:
    place("stable", 1, stable=1)
    place("stable", 2, stable=2, previous=1)
    loaded = deployed_versions(env)
    assert loaded == {1, 2}
    env.memory.history.clear()
    done = operate.carry_out(env, operate.roll_back(env, MODEL, None, eve, "worse"), 1.0)
    assert done.served
    assert env.memory.traffic().stable == 1
    assert not deployed_versions(env)


def test_a_rollback_may_go_to_any_version_that_was_stable_here_and_to_no_other(
    env: MemoryEnvironment, place: Place, eve: Actor
) -> None:
    place("stable", 1, stable=1)
    place("stable", 2, stable=2, previous=1)
    place("stable", 3, stable=3, previous=2)
    assert operate.roll_back(env, MODEL, 1, eve, "").after.stable == 1
    with pytest.raises(BadInputError, match="never stable in production"):
        operate.roll_back(env, MODEL, 4, eve, "")
    with pytest.raises(UnknownNameError, match="no version 9"):
        operate.roll_back(env, MODEL, 9, eve, "")
    with pytest.raises(ConflictError, match="is stable in production already"):
        operate.roll_back(env, MODEL, 3, eve, "")


def test_a_rollback_to_changed_bytes_is_refused_and_nothing_moves(
    env: MemoryEnvironment, place: Place, eve: Actor
) -> None:
    place("stable", 1, stable=1)
    slot = place("stable", 2, stable=2, previous=1)
    stored = env.store().path(ref(env, 1).digest) / "model.onnx"
    stored.chmod(0o644)
    stored.write_bytes(b"else")
    with pytest.raises(DigestMismatchError):
        operate.roll_back(env, MODEL, None, eve, "")
    assert env.ledger().slot(MODEL, env.name) == slot


def test_a_rollback_moves_the_traffic_though_the_version_it_leaves_is_damaged(
    env: MemoryEnvironment, place: Place, eve: Actor
) -> None:
    place("stable", 1, stable=1)
    place("stable", 2, stable=2, previous=1)
    env.memory.digests = {1: ref(env, 1).digest, 2: "0" * 64}  # on the target, too
    done = operate.carry_out(env, operate.roll_back(env, MODEL, None, eve, "worse"), 1.0)
    assert done.served
    assert env.memory.traffic().stable == 1


def test_a_previous_version_that_does_not_load_holds_nothing_up(
    env: MemoryEnvironment, place: Place, eve: Actor
) -> None:
    env.memory.broken = frozenset({1})
    slot = place("stable", 2, stable=2, previous=1)
    assert env.memory.traffic().stable == 2
    assert env.memory.traffic().previous is None
    (open_row,) = env.ledger().pending(env.name)
    assert "does not load" in open_row.error
    env.memory.broken = frozenset()
    assert [each.what for each in reconcile(env)] == []
    assert env.ledger().slot(MODEL, env.name) == slot


def test_an_operation_is_not_confirmed_by_servers_that_are_further_than_an_older_ledger(
    env: MemoryEnvironment, place: Place, eve: Actor
) -> None:
    place("stable", 1, stable=1)
    place("stable", 2, stable=2, previous=1)
    env.memory.route(replace(env.memory.traffic(), rev=9))
    done = operate.carry_out(env, operate.roll_back(env, MODEL, None, eve, "worse"), 0.2)
    assert not done.served
    assert env.ledger().pending(env.name)


def test_an_older_version_is_loaded_before_a_rollback_to_it_is_committed(
    env: MemoryEnvironment, place: Place, eve: Actor
) -> None:
    for number in (1, 2, 3):
        place("stable", number, stable=number, previous=number - 1 or None)
    slot = env.ledger().slot(MODEL, env.name)
    planned = operate.roll_back(env, MODEL, 1, eve, "much older")
    env.memory.broken = frozenset({1})
    with pytest.raises(TowpathError, match="does not load"):
        operate.carry_out(env, planned, 0.2)
    assert env.ledger().slot(MODEL, env.name) == slot


def test_a_rejected_version_is_out_and_never_comes_back(env: MemoryEnvironment, canary: Slot, eve: Actor) -> None:
    operate.carry_out(env, operate.reject(env, MODEL, 2, eve, "biased", quarantine=False), 1.0)
    assert env.ledger().version(MODEL, 2).state is VersionState.REJECTED
    assert env.memory.traffic().canary is None
    with pytest.raises(ConflictError, match="rejected already"):
        operate.reject(env, MODEL, 2, eve, "again", quarantine=True)
    with pytest.raises(ConflictError, match="stable in production"):
        operate.reject(env, MODEL, 1, eve, "it serves", quarantine=False)
    assert env.ledger().verify(MODEL, env.name).intact


def test_a_rejected_previous_version_is_no_way_back(env: MemoryEnvironment, place: Place, eve: Actor) -> None:
    place("stable", 1, stable=1)
    place("stable", 2, stable=2, previous=1)
    operate.carry_out(env, operate.reject(env, MODEL, 1, eve, "biased", quarantine=True), 1.0)
    assert env.ledger().slot(MODEL, env.name).previous is None
    with pytest.raises(GateRefusedError, match="quarantined"):
        operate.roll_back(env, MODEL, 1, eve, "")


def test_what_was_planned_on_an_older_revision_is_refused(env: MemoryEnvironment, canary: Slot, eve: Actor) -> None:
    planned = operate.abort(env, MODEL, eve, "slow fingers")
    operate.carry_out(env, operate.pause(env, MODEL, eve, "faster"), 1.0)
    after = env.ledger().slot(MODEL, env.name)
    with pytest.raises(StaleRevisionError):
        operate.carry_out(env, planned, 1.0)
    assert env.ledger().slot(MODEL, env.name) == after


def test_a_promotion_and_a_rollback_at_once_leave_one_of_them_and_the_traffic_where_the_ledger_is(
    env: MemoryEnvironment, canary: Slot, eve: Actor
) -> None:
    env.memory.report = healthy_report(canary)

    def attempt(move: Callable[[], object]) -> bool:
        try:
            move()
        except TowpathError:
            return False
        return True

    moves = [
        lambda: operate.carry_out(env, operate.abort(env, MODEL, eve, "stop"), 1.0),
        lambda: tick(env, MODEL),
    ] * 4
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(attempt, moves))
    slot = env.ledger().slot(MODEL, env.name)
    events = env.ledger().events(MODEL, env.name)
    assert [event.rev for event in events] == list(range(1, slot.rev + 1))
    reconcile(env)
    assert env.memory.traffic() == split_of(slot)
    assert env.ledger().replayed(MODEL, env.name) == slot


@pytest.mark.parametrize("move", [operate.pause, operate.resume, operate.abort])
def test_nothing_on_its_way_is_a_conflict_and_an_unknown_model_a_wrong_name(
    env: MemoryEnvironment, place: Place, eve: Actor, move: Callable[..., object]
) -> None:
    place("stable", 1, stable=1)
    with pytest.raises(ConflictError, match="nothing of taxi is on its way"):
        move(env, MODEL, eve, "")
    with pytest.raises(UnknownNameError, match="no version of taxy"):
        move(env, "taxy", eve, "")


def test_an_alias_moved_by_hand_is_reported_and_repaired(env: MemoryEnvironment, place: Place) -> None:
    place("stable", 1, stable=1)
    slot = place("stable", 2, stable=2, previous=1)
    registry = env.registry()
    registry.set_aliases(MODEL, 4, None, 99, prefix=env.alias_prefix)
    looked_only = reconcile(env, repair=False)
    assert [(each.what, each.repaired) for each in looked_only] == [("aliases", False)]
    repaired = reconcile(env)
    assert [(each.what, each.repaired) for each in repaired] == [("aliases", True)]
    found = registry.read_aliases(MODEL, prefix=env.alias_prefix)
    assert (found.champion, found.rev) == (2, slot.rev)
    assert reconcile(env) == ()


def test_the_versions_in_mlflow_say_where_they_stand(env: MemoryEnvironment, canary: Slot, eve: Actor) -> None:
    from mlflow import MlflowClient

    def tags() -> dict[int, str | None]:
        client = MlflowClient(env.registry()._connection.uri)
        found = client.search_model_versions(f"name='{MODEL}'")
        return {int(each.version): each.tags.get("towpath.production") for each in found}

    assert tags() == {1: "stable", 2: "canary 5 %", 3: None, 4: None}
    operate.carry_out(env, operate.abort(env, MODEL, eve, "no"), 1.0)
    assert tags() == {1: "stable", 2: "rolled_back", 3: None, 4: None}


def test_traffic_that_lost_a_revision_is_sent_there_again(env: MemoryEnvironment, canary: Slot) -> None:
    from components.release.targets.memory import MemoryTarget

    restarted = MemoryEnvironment(env.name, env.section, env.root, MemoryTarget(MODEL))
    drifts = reconcile(restarted)
    assert [(each.what, each.repaired) for each in drifts] == [("traffic", True)]
    assert restarted.memory.traffic() == split_of(canary)


def test_an_older_ledger_is_told_from_servers_that_are_further(
    env: MemoryEnvironment, place: Place, tmp_path: Path
) -> None:
    place("stable", 1, stable=1)
    older = tmp_path / "older.db"
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as source, closing(sqlite3.connect(older)) as copy:
        source.backup(copy)
    place("stable", 2, stable=2, previous=1)
    for name in ("ledger.db-wal", "ledger.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    shutil.copy(older, tmp_path / "ledger.db")
    drift = next(each for each in reconcile(env) if each.what == "traffic")
    assert not drift.repaired
    assert "older ledger was restored" in drift.problem
    assert env.memory.traffic().stable == 2


def test_shipped_environments_load() -> None:
    root = Path(__file__).parents[3]
    assert [load_environment(name, root).name.value for name in ("local", "staging", "production")]
