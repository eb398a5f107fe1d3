"""Whoever writes the router file dies, or the disk fails, at any change: gateways read the old state or the new one."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from components.release.router import RouterFile
from components.types.kill_switch import Killed
from components.types.release import JudgeSettings, ModelRef, PlacedModel, Role, TrafficSplit
from tests.dying import DONE, DONE_ALL_THE_SAME, REFUSED, die_at


def _placed(version: int) -> PlacedModel:
    return PlacedModel(ModelRef("taxi", version, f"{version:064x}"), Path(f"/store/{version}"), "onnx")


@pytest.mark.parametrize("by", ["death", "disk full"])
def test_a_router_file_is_whole_after_a_death_or_a_disk_error_at_any_step(tmp_path: Path, by: str) -> None:
    template, folder = tmp_path / "template", tmp_path / "gateway"
    router = RouterFile(folder / "router.json")
    old, new = TrafficSplit("taxi", 1, stable=1), TrafficSplit("taxi", 2, stable=1, canary=2, weight=5)
    killed = Killed(2, frozenset({2}))
    router.load("taxi", _placed(1), Role.STABLE)
    router.route(old, JudgeSettings())
    folder.rename(template)

    def move() -> None:
        router.load("taxi", _placed(2), Role.CANARY)
        router.route(new, JudgeSettings())
        router.kill("taxi", 2, [2])

    failed = 0
    for step in range(1, 100):
        shutil.copytree(template, folder)
        code = die_at(step, move, by=by)
        assert code in {DONE, DONE_ALL_THE_SAME, REFUSED, -signal.SIGKILL}
        route = router.route_of("taxi")
        assert route.split in {old, new}
        assert {str(version) for version in route.split.versions} <= set(route.loaded)
        assert router.killed("taxi") in {None, killed}
        move()  # the lock of who died is free, and a repetition ends it
        assert (router.route_of("taxi").split, router.killed("taxi")) == (new, killed)
        shutil.rmtree(folder)
        if code == DONE:
            break
        failed += 1
    assert failed >= 6
