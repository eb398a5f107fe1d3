"""Killing a canary by hand: what it says, what a gateway then does, and that damage never keeps it from working."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.errors import BadInputError, ConflictError, UnknownNameError
from components.release.router import RouterFile
from components.serving.board import Board, KillSwitch
from components.serving.judging import LiveJudge
from components.types.kill_switch import Killed
from components.types.release import Environment, JudgeSettings, ModelRef, PlacedModel, Role, TrafficSplit
from pipelines.release.environment_config import EnvironmentSection
from pipelines.release.environments import EnvironmentConfig
from pipelines.release.kill import kill, plan_kill


@pytest.fixture
def env(tmp_path: Path) -> EnvironmentConfig:
    """Return production, whose gateway has version 4 of taxi as canary, and adult without one."""
    made = EnvironmentConfig(
        Environment.PRODUCTION, EnvironmentSection(after=Environment.STAGING, plan="demo"), tmp_path
    )
    place(made.router(), TrafficSplit("taxi", 10, stable=3, canary=4, weight=5))
    place(made.router(), TrafficSplit("adult", 2, stable=1))
    return made


def place(router: RouterFile, split: TrafficSplit) -> None:
    for role in (Role.STABLE, Role.CANARY):
        if (version := split.version(role)) is not None:
            model = PlacedModel(ModelRef(split.model, version, f"{version:064x}"), Path(f"/store/{version}"), "onnx")
            router.load(split.model, model, role)
    router.route(split, JudgeSettings())


def weight(env: EnvironmentConfig, rev: int, canary: int, folder: str) -> int:
    """Return a canary's weight in a gateway that has just started with a revision."""
    board = Board(env.root / folder, kill_switch=KillSwitch(env.router_path))
    return LiveJudge(board, TrafficSplit("taxi", rev, stable=3, canary=canary, weight=5), JudgeSettings()).weight


def test_a_killed_version_gets_nothing_at_any_revision_and_another_one_does(env: EnvironmentConfig) -> None:
    planned = plan_kill(env, "taxi")
    assert (planned.rev, planned.canary, planned.weight) == (10, 4, 5)
    assert "version 4, gets nothing instead of 5 %, at revision 10 and at every later one, until" in planned.changes
    assert env.router().killed("taxi") is None, "planning changes nothing"
    kill(env, planned)
    assert env.router().killed("taxi") == Killed(10, frozenset({4}))
    assert [weight(env, rev, 4, f"a{rev}") for rev in (9, 10, 11, 500)] == [0] * 4
    assert weight(env, 11, 5, "b") == 5


@pytest.mark.parametrize("damage", ["{", "", '{"sequence": 1}', "unreadable"])
def test_a_damaged_snapshot_is_no_reason_to_leave_a_canary_alone(env: EnvironmentConfig, damage: str) -> None:
    if damage == "unreadable":
        env.router_path.unlink()
        env.router_path.mkdir()
    else:
        env.router_path.write_text(damage)
    planned = plan_kill(env, "taxi")
    assert planned.canary is None
    assert str(env.router_path) in planned.changes
    assert "no version of taxi in production gets anything as a canary any more" in planned.changes
    assert str(env.router_path.parent / "kill" / "taxi") in planned.changes
    kill(env, planned)
    assert [weight(env, rev, version, f"{rev}") for rev, version in ((10, 4), (10**12, 5))] == [0, 0]


def test_what_is_no_canary_cannot_be_killed(env: EnvironmentConfig) -> None:
    with pytest.raises(ConflictError, match="adult has no canary in production"):
        plan_kill(env, "adult")
    with pytest.raises(UnknownNameError, match="serves no `tax` .did you mean `taxi`"):
        plan_kill(env, "tax")
    env.router_path.write_text("{")
    with pytest.raises(BadInputError, match="no model name"):
        kill(env, plan_kill(env, "../taxi"))
