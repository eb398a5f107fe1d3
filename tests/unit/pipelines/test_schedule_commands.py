"""What the schedule commands say: without a server, of a schedule that is paused, of a run that was asked for."""

from __future__ import annotations

import contextlib
import errno
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Failed
from typer.testing import CliRunner

from components.errors import InfrastructureError
from pipelines.cli import schedule
from pipelines.cli.schedule import app, prefect_client
from pipelines.schedules.watching import Watched

TAGS = ["catch-up=latest", "resume=once", "absent-after-s=900"]


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in an empty folder, where no server runs and no setting names one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        yield tmp_path


def test_without_a_server_none_is_started_in_silence(nowhere: Path) -> None:
    words = "no Prefect server answers.*`towpath stack up` starts one"
    with pytest.raises(InfrastructureError, match=words) as raised, prefect_client():
        pass
    assert raised.value.exit_code == 1
    assert not (nowhere / ".towpath").exists()


def test_a_server_that_prefects_own_settings_name_is_asked(nowhere: Path) -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}), prefect_client() as client:
        assert str(client.api_url).startswith("http://127.0.0.1:1/api")


class Server:
    """What a server with one training, `training-boxes`, would answer."""

    def __init__(self, *, paused: bool = False) -> None:
        self.where = DeploymentResponse(id=uuid4(), flow_id=uuid4(), name="training-boxes", tags=TAGS, paused=paused)
        self.run = FlowRun(id=uuid4(), flow_id=uuid4(), name="happy-otter", parameters={"model": "boxes"})

    def read_deployments(self, *, limit: int, offset: int) -> list[DeploymentResponse]:
        return [] if offset else [self.where]

    def read_flow_runs(self, **_: Any) -> list[FlowRun]:
        return [self.run.model_copy(update={"state": Failed(message="refused:\n  see reports")})]

    def create_flow_run_from_deployment(self, *_: Any, **__: Any) -> FlowRun:
        return self.run


def said(server: Server, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    @contextlib.contextmanager
    def client() -> Iterator[Server]:
        yield server

    monkeypatch.setattr(schedule, "prefect_client", client)
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 0, done.output
    return done.output


def test_next_says_that_a_schedule_is_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "PAUSED" in said(Server(paused=True), monkeypatch, "next", "training-boxes")


def test_a_run_that_was_asked_for_is_named_with_its_id_and_log(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    words = said(server, monkeypatch, "trigger", "training-boxes")
    assert str(server.run.id) in words
    assert ".towpath/schedules/logs/boxes.log" in words


def test_the_list_says_why_a_last_run_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    words = said(Server(), monkeypatch, "list")
    assert "training-boxes: its last run did not succeed: refused: see reports" in words


def test_a_look_that_meets_anything_unforeseen_is_followed_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[float | None] = []
    outcomes: Iterator[object] = iter([OSError(errno.ENOSPC, "No space left"), Watched((), ("no webhook",), 0, 0)])

    def look(_client: object, _limits: object, _root: Path, heard_since: float | None) -> object:
        heard.append(heard_since)
        if isinstance(outcome := next(outcomes, KeyboardInterrupt()), BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr("pipelines.schedules.watching.watch", look)
    monkeypatch.setattr(schedule.time, "sleep", lambda _: None)
    monkeypatch.setattr(schedule.time, "time", itertools.count(1.0).__next__)
    monkeypatch.setattr(schedule, "prefect_client", lambda: contextlib.nullcontext(Server()))
    done = CliRunner().invoke(app, ["watch", "--every", "15"])
    assert done.exit_code == 130, "it ended before it was interrupted"
    assert "this look failed, OSError" in done.output
    assert "no webhook" in done.output
    assert len(heard) == 3
    assert heard[0] != heard[1] == heard[2], "silence would be counted from before a look that failed"
