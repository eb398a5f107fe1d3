"""What a tick and a page make of what is stored: whose plan holds, what is counted, and what must not stop others."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from filelock import FileLock

from components.errors import FaultError, InfrastructureError
from components.release.plan import ReleasePlan
from components.release.records import Placement, RecordedVersion, Slot
from components.release.targets.memory import MemoryTarget
from pipelines.release import view
from pipelines.release.apply import split_of
from pipelines.release.commit import Move, commit, note
from pipelines.release.lineage import LINEAGE
from pipelines.release.observe import OBSERVATION, PLAN, keep_plan, rollout_evidence, stored_plan
from pipelines.release.rounds import tick_all
from pipelines.release.tick import foresee, tick
from pipelines.release.view import VIEW_FILE, write_view
from tests.releases import MODEL, MemoryEnvironment, healthy_report, quick_plan, ref

pytestmark = pytest.mark.slow
"""MLflow is imported: seconds."""

Place = Callable[..., Slot]


@pytest.fixture
def canary(place: Place) -> Slot:
    """Return a slot with a canary at 5 %, under the quick plan."""
    place("stable", 1, quick_plan(), stable=1)
    return place("canary:5", 2, quick_plan(), stable=1, canary=2, weight=5)


@pytest.fixture
def others(env: MemoryEnvironment) -> Slot:
    """Return the slot of another model, whose servers nobody knows."""
    ledger = env.ledger()
    recorded = ledger.record_version(RecordedVersion("alpha", 1, "a" * 64, "d" * 64, "onnx", author="ada"))
    slot = ledger.slot("alpha", env.name)
    note(env, slot, 1, recorded.digest, LINEAGE, {"code": "c", "lock": "1" * 64}, "ada")
    plan = quick_plan()
    keep_plan(env, slot, recorded, "test", plan)
    move = Move(version=1, target="stable", to=Placement(stable=1), actor="eve", reason="r", plan_digest=plan.digest)
    return commit(env, slot, move)


def edit(env: MemoryEnvironment, statement: str, *values: object) -> None:
    """Change a row of the ledger behind its back."""
    with closing(sqlite3.connect(env.root / "ledger.db")) as connection, connection:
        assert connection.execute(statement, values).rowcount > 0


def without_gates() -> ReleasePlan:
    """Return a plan under which a canary would be stable at once."""
    return ReleasePlan.model_validate({"shadow": None, "canary": [], "approvals": {"stable": 0}})


def test_the_plan_of_a_refused_promotion_does_not_replace_that_of_a_running_one(
    env: MemoryEnvironment, canary: Slot
) -> None:
    keep_plan(env, canary, env.ledger().version(MODEL, 2), "other", quick_plan(approvals={"stable": 3}))
    assert stored_plan(env, canary, 2) == ("test", quick_plan())


def test_the_plan_of_an_earlier_rollout_of_the_same_version_does_not_come_back(
    env: MemoryEnvironment, place: Place, canary: Slot
) -> None:
    place("rolled_back", 2, quick_plan(), stable=1)
    again = quick_plan(approvals={"stable": 2})
    slot = place("canary:5", 2, again, stable=1, canary=2, weight=5)
    assert stored_plan(env, slot, 2)[1] == again


def test_in_bake_time_the_plan_is_the_one_that_the_rollout_had(
    env: MemoryEnvironment, place: Place, canary: Slot
) -> None:
    slot = place("stable", 2, quick_plan(), stable=2, previous=1)
    keep_plan(env, slot, env.ledger().version(MODEL, 2), "other", without_gates())
    assert stored_plan(env, slot, 2) == ("test", quick_plan())


@pytest.mark.parametrize("content", ["no JSON", "[]", '{"name": "test"}'])
def test_a_damaged_plan_moves_nothing_forwards_and_keeps_no_traffic_from_the_stable_version(
    env: MemoryEnvironment, canary: Slot, content: str
) -> None:
    env.memory.report = healthy_report(canary)
    edit(env, "UPDATE evidence SET content = ? WHERE kind = ? AND version = 2", content, PLAN)
    with pytest.raises(FaultError, match="verify the ledger"):
        tick(env, MODEL)
    assert env.ledger().slot(MODEL, env.name) == canary
    settled = Slot(model=MODEL, env=env.name, rev=canary.rev + 1, stable=2, previous=1)
    assert stored_plan(env, settled, 2) == (env.plan_name, env.plan())


def test_an_edited_plan_is_not_believed(env: MemoryEnvironment, canary: Slot) -> None:
    content = json.dumps({"name": "test", "plan": without_gates().model_dump(mode="json")})
    edit(env, "UPDATE evidence SET content = ? WHERE kind = ? AND version = 2", content, PLAN)
    with pytest.raises(FaultError, match="is not in the ledger as it was"):
        stored_plan(env, canary, 2)


def test_evidence_that_was_made_unreadable_is_named(env: MemoryEnvironment, canary: Slot) -> None:
    edit(env, "UPDATE evidence SET content = 'x' WHERE kind = ? AND version = 2", "decision")
    with pytest.raises(FaultError, match="the decision evidence of version 2 of taxi in production is no JSON object"):
        tick(env, MODEL)


def test_a_gateway_that_stays_down_does_not_fill_the_ledger(env: MemoryEnvironment, place: Place) -> None:
    place("stable", 1, quick_plan(), stable=1)
    slot = place("stable", 2, quick_plan(), stable=2, previous=1)
    env.memory.down = True
    for _ in range(10):
        assert tick(env, MODEL).action == "hold"
    rows = env.ledger().evidence(MODEL, env.name, 2, kind=OBSERVATION)
    assert [json.loads(row.content)["in_a_row"] for row in rows] == [4, 3, 2, 1]
    assert env.ledger().slot(MODEL, env.name) == slot


def test_what_a_tick_would_do_is_said_without_doing_it(env: MemoryEnvironment, canary: Slot) -> None:
    env.memory.report = healthy_report(canary)
    before = env.ledger().evidence(MODEL, env.name, 2)
    foreseen = foresee(env, MODEL)
    assert (foreseen.action, foreseen.target, foreseen.rev) == ("advance", "canary:50", canary.rev)
    env.memory.down = True
    assert foresee(env, MODEL).action == "hold"
    assert env.ledger().slot(MODEL, env.name) == canary
    assert env.ledger().evidence(MODEL, env.name, 2) == before


def test_one_models_trouble_stops_no_other_model(env: MemoryEnvironment, canary: Slot, others: Slot) -> None:
    env.memory.report = healthy_report(canary)
    looked = {each.model: each for each in tick_all(env)}
    assert looked["alpha"].action == "failed"
    assert looked[MODEL].target == "canary:50"


def test_servers_that_lost_a_revision_are_sent_there_though_something_else_is_open(
    env: MemoryEnvironment, canary: Slot, others: Slot
) -> None:
    assert any(row.model == "alpha" for row in env.ledger().pending(env.name))
    restarted = MemoryEnvironment(env.name, env.section, env.root, MemoryTarget(MODEL))
    looked = tick(restarted, MODEL)
    assert restarted.memory.traffic() == split_of(canary), looked


def test_a_damaged_model_is_told_on_the_page_beside_the_others(
    env: MemoryEnvironment, canary: Slot, others: Slot
) -> None:
    edit(env, "UPDATE event SET to_slot = 'x' WHERE model = 'alpha'")
    shown = {each.model: each for each in write_view(env).models}
    assert "cannot be shown" in shown["alpha"].next_step
    assert shown[MODEL].canary == 2


def test_a_page_that_cannot_be_written_is_an_infrastructure_error(env: MemoryEnvironment, canary: Slot) -> None:
    page = env.router_path.with_name(VIEW_FILE)
    page.unlink()
    page.mkdir()
    with pytest.raises(InfrastructureError, match=r"release-view\.json cannot be written"):
        write_view(env)


def test_a_page_is_not_waited_for_for_ever(
    env: MemoryEnvironment, canary: Slot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "LOCK_WAIT_S", 0.1)
    with (
        FileLock(env.router_path.with_name(f".{VIEW_FILE}.lock")),
        pytest.raises(InfrastructureError, match="written by somebody else"),
    ):
        write_view(env)


def test_both_versions_that_may_have_to_come_back_are_looked_at(env: MemoryEnvironment, place: Place) -> None:
    place("stable", 1, quick_plan(), stable=1)
    place("stable", 2, quick_plan(), stable=2, previous=1)
    slot = place("canary:5", 3, quick_plan(), stable=2, previous=1, canary=3, weight=5)

    def loadable() -> tuple[bool | None, bool | None]:
        found = rollout_evidence(env, slot, env.ledger().version(MODEL, 3), env.ledger().events(MODEL, env.name))
        return found.previous_loadable, found.older_loadable

    assert loadable() == (True, True)
    damaged: Path = env.store().path(ref(env, 1).digest) / "model.onnx"
    damaged.chmod(0o644)
    damaged.write_bytes(b"gone")
    assert loadable() == (True, False)
