"""A version that hangs while it is loaded: a round waits for it within its time, and looks at all others."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from components.errors import FaultError, InfrastructureError
from components.release.router import RouterFile
from components.release.targets.following import FollowingTarget, Server
from components.release.targets.loading_time import left_s, loading_time
from components.types.judging import Health, JudgeReport, WorkerStatus
from components.types.release import JudgeSettings, ModelRef, PlacedModel, Role
from pipelines.release import rounds
from pipelines.release.rounds import go_round
from pipelines.release.tick import Ticked

READY_S = 20.0


class OneServer:
    """A server that has some models' version 1 loaded, and may say why it has not."""

    def __init__(self, *loaded: str, problem: str = "") -> None:
        self.status = WorkerStatus(0, 1, 0.0, {}, dict.fromkeys(loaded, (1,)), {"hangs": problem})
        self.looks = 0

    def living(self) -> Sequence[Server]:
        self.looks += 1
        return [Server("worker 0", self.status)]

    def report(self, model: str) -> JudgeReport | None:
        raise NotImplementedError

    def health(self, model: str, role: Role, window_s: float) -> Health | None:
        raise NotImplementedError

    def ask(self, model: str, version: int, requests: Sequence[bytes]) -> Sequence[Any]:
        raise NotImplementedError

    def remind(self) -> None:
        """Nothing: it sees everything."""


def deploy(model: str, folder: Path, server: OneServer) -> RouterFile:
    def placed(ref: ModelRef) -> PlacedModel:
        return PlacedModel(ref, folder / ref.digest, "onnx")

    router = RouterFile(folder / f"{model}.json")
    target = FollowingTarget(model, router, server, placed, JudgeSettings(), READY_S, 0.01)
    target.deploy(Role.CANARY, ModelRef(model, 1, "a" * 64))
    return router


def test_a_version_that_hangs_is_waited_for_within_the_time_of_the_round_and_loads_on(tmp_path: Path) -> None:
    words = r"version 1 of hangs was not loaded within 0(\.1)? s by worker 0; .* looked at again the next time"
    with loading_time(0.05), pytest.raises(InfrastructureError, match=words):
        deploy("hangs", tmp_path, OneServer())
    assert set(RouterFile(tmp_path / "hangs.json").route_of("hangs").loaded) == {"1"}


def test_without_any_time_left_a_version_is_still_looked_at_once(tmp_path: Path) -> None:
    with loading_time(0.0):
        deploy("loads", tmp_path, OneServer("loads"))
        hanging = OneServer()
        with pytest.raises(InfrastructureError):
            deploy("hangs", tmp_path, hanging)
    assert hanging.looks == 2, "once before it is asked to load, and once after"


def test_a_version_of_which_the_server_said_long_ago_why_it_cannot_be_loaded_is_let_go_of(tmp_path: Path) -> None:
    server = OneServer(problem="version 1 was not loaded: it took more than 120 s")
    with loading_time(0.05), pytest.raises(FaultError, match=r"cannot be loaded by worker 0: .*more than 120 s"):
        deploy("hangs", tmp_path, server)
    assert RouterFile(tmp_path / "hangs.json").route_of("hangs").loaded == {}


def test_the_shorter_time_holds_and_ends_with_its_block() -> None:
    with loading_time(5.0):
        with loading_time(3600.0):
            assert left_s() <= 5.0
        with loading_time(0.0):
            assert left_s() == 0.0
        assert left_s() > 0.0
    assert left_s() == float("inf")


def test_one_environment_whose_version_hangs_does_not_keep_a_round_from_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "LOADING_S", 0.05)
    begun = time.monotonic()

    def look_at(model: str) -> Sequence[Ticked]:
        deploy(model, tmp_path, OneServer("loads"))
        return [Ticked(model, "staging", 1, "advance", "canary:1", False, (), ())]

    done = go_round(("hangs", "loads"), look_at, lambda _, looked: looked)
    assert [each.model for each in done.looked] == ["loads"]
    ((model, error),) = done.errors
    assert model == "hangs"
    assert "looked at again the next time" in str(error)
    assert time.monotonic() - begun < READY_S, "it was waited for as if nobody else were there"
