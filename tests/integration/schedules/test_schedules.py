"""Schedules at a real server: what infra/prefect.yaml says, duplicate triggers, overlaps, missed and missing runs."""

from __future__ import annotations

import base64
import inspect
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.flows import load_flow_from_entrypoint
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Pending, Running

from components.errors import ConfigError, UnknownNameError
from pipelines.config import model_names
from pipelines.schedules.deployments import (
    deployment,
    deployments,
    is_active,
    listed,
    set_active,
    trigger,
)
from pipelines.schedules.handover import PREFECT_FILE, deploy
from pipelines.schedules.notices import METRICS, SECRET_VARIABLE, URL_VARIABLE
from pipelines.schedules.policy import CatchUp
from pipelines.schedules.watchdog import Limits, look
from pipelines.schedules.watching import watch
from tests.waiting import until

standardwebhooks = pytest.importorskip("standardwebhooks")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def runs_of(project, name: str) -> list[FlowRun]:
    return project.client.read_flow_runs(
        deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[name])), limit=200
    )


def towpath(project, *arguments: str, code: int = 0) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "schedule", *arguments, "--json"],
        cwd=project.root,
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout) if done.stdout else done.stderr


def test_the_file_that_is_shipped_is_taken_twice_and_is_the_same(project) -> None:
    folder = project.root / "infra"
    folder.mkdir()
    shutil.copy2(ROOT / PREFECT_FILE, folder)
    said = {each["name"]: each for each in yaml.safe_load((ROOT / PREFECT_FILE).read_text())["deployments"]}
    ids = []
    for _ in range(2):
        deploy(project.url, project.root)
        ids.append({each.name: each.id for each, _ in deployments(project.client)})
    assert ids[0] == ids[1]
    assert set(ids[0]) == set(said)
    for row in listed(project.client):
        part = said[row.name]
        assert row.schedules == tuple(f"{each['cron']} {each['timezone']}" for each in part["schedules"])
        assert (
            row.overlap == {"ENQUEUE": "queue", "CANCEL_NEW": "skip"}[part["concurrency_limit"]["collision_strategy"]]
        )
        assert row.active
        assert row.next_at
    for each, _ in deployments(project.client):
        assert each.work_pool_name == "towpath"
        assert each.global_concurrency_limit.limit == 1
        assert each.pull_steps[0]["prefect.deployments.steps.set_working_directory"]["directory"] == str(project.root)
    assert project.client.read_work_pool("towpath").type == "process"
    set_active(project.client, "monitoring", active=False)
    _, stopped = deploy(project.url, project.root)
    assert stopped == 1
    assert [row.name for row in listed(project.client) if not row.active] == ["monitoring"], "a pause was ended"


def test_what_is_handed_over_paused_is_active_at_no_moment(project) -> None:
    folder = project.root / "infra"
    folder.mkdir()
    shutil.copy2(ROOT / PREFECT_FILE, folder)
    with ThreadPoolExecutor(1) as pool:
        handed_over = pool.submit(deploy, project.url, project.root, paused=True)
        seen = 0
        while not handed_over.done():
            found = [each for each, _ in deployments(project.client)]
            assert not any(is_active(each) for each in found), "one that is active is planned at once"
            seen = max(seen, len(found))
            time.sleep(0.05)
    assert seen > 0
    count = len(deployments(project.client))
    assert handed_over.result() == (count, count)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "deployments: {",
        "deployments: 3",
        "deployments: []",
        "deployments: [{entrypoint: a:b}]",
        'deployments: [{name: "{{ $NAME }}", entrypoint: a:b}]',
        'deployments: [{name: a, paused: "false", entrypoint: a:b}]',
        "deployments: [{name: a, tags: [catchup=latest], entrypoint: a:b}]",
    ],
)
def test_a_file_of_schedules_that_cannot_be_meant_is_one_sentence_and_changes_nothing(project, text) -> None:
    if text is not None:
        (project.root / "infra").mkdir()
        (project.root / PREFECT_FILE).write_text(text)
    pools = [each.updated for each in project.client.read_work_pools()]
    with pytest.raises(ConfigError, match=r"infra/prefect.yaml(:| cannot be handed over: )"):
        deploy(project.url, project.root)
    assert [each.updated for each in project.client.read_work_pools()] == pools
    assert not deployments(project.client)


@pytest.mark.parametrize(
    "part", yaml.safe_load((ROOT / PREFECT_FILE).read_text())["deployments"], ids=lambda p: p["name"]
)
def test_every_entry_point_is_a_module_with_a_flow_that_takes_its_parameters_and_ends_in_time(part: dict) -> None:
    module, _, _ = part["entrypoint"].partition(":")
    assert "/" not in module
    assert not module.endswith(".py")
    flow = load_flow_from_entrypoint(part["entrypoint"])
    inspect.signature(flow.fn).bind(**part.get("parameters", {}))
    assert flow.timeout_seconds or "timeout_s" in part["parameters"]
    assert flow.on_running_hooks, "the watchdog cannot see its process"


def test_every_model_has_a_training_schedule_of_its_own() -> None:
    said = yaml.safe_load((ROOT / PREFECT_FILE).read_text())["deployments"]
    trained = [each["parameters"]["model"] for each in said if each["name"].startswith("training-")]
    assert sorted(trained) == sorted(model_names(ROOT))


def test_fifty_triggers_of_one_time_are_one_run(project) -> None:
    name = project.deploy(schedules=[{"cron": "* * * * *", "timezone": "UTC", "slug": "minutely"}])
    at = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=2)

    until(lambda: [run for run in runs_of(project, name) if run.auto_scheduled], "Prefect's own scheduler has planned")
    for moment in (at, at + timedelta(seconds=7)):  # a time of the schedule, planned already, and one of nobody's
        with ThreadPoolExecutor(10) as pool:
            ids = set(pool.map(lambda _, moment=moment: once_at(project.url, name, moment), range(50)))
        assert len(ids) == 1
        found = [run for run in runs_of(project, name) if run.expected_start_time == moment]
        assert [str(run.id) for run in found] == list(ids)


def once_at(url: str, name: str, at: datetime) -> str:
    with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:  # a thread has its own
        return str(trigger(client, name, at).id)


def test_a_run_that_overlaps_is_skipped_or_queued_as_the_file_says(project) -> None:
    for strategy, state in (("CANCEL_NEW", "Cancelled"), ("ENQUEUE", "AwaitingConcurrencySlot")):
        name = project.deploy(concurrency_limit={"limit": 1, "collision_strategy": strategy})
        now = datetime.now(UTC)
        first, second = (trigger(project.client, name, now - timedelta(seconds=s)) for s in (20, 10))
        for wanted in (Pending(), Running()):
            project.client.set_flow_run_state(first.id, wanted)
        project.client.set_flow_run_state(second.id, Pending())
        assert project.client.read_flow_run(second.id).state_name == state
        assert project.slots(name) == 1


@pytest.mark.parametrize("policy", list(CatchUp))
def test_of_the_runs_that_were_missed_the_policy_keeps_the_last_or_none(project, policy: CatchUp) -> None:
    name = project.deploy(
        schedules=[{"interval": 1, "slug": "secondly"}],
        tags=[f"catch-up={policy.value}", "resume=never", "absent-after-s=3600"],
    )
    due = Limits(late_s=2.0)

    def overdue() -> list[FlowRun]:
        before = datetime.now(UTC) - timedelta(seconds=due.late_s)
        return [run for run in runs_of(project, name) if run.state.is_scheduled() and run.expected_start_time < before]

    until(lambda: len(overdue()) > 3, "runs are overdue")
    towpath(project, "pause", name)  # deletes what is only planned; what is overdue stays, or is planned anew below
    towpath(project, "resume", name)
    until(lambda: len(overdue()) > 3, "runs are overdue again")
    before = datetime.now(UTC) - timedelta(seconds=due.late_s)
    assert look(project.client, due).skipped >= 3
    left = [run for run in overdue() if run.expected_start_time < before]
    assert len(left) <= (1 if policy is CatchUp.LATEST else 0)


class Receiver(BaseHTTPRequestHandler):
    """Takes notices whose signature holds, when it is up."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.server.status
        if status == 200:
            self.server.taken.append(standardwebhooks.Webhook(SECRET).verify(body, dict(self.headers)))
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.taken, server.status = [], 200
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv(URL_VARIABLE, f"http://127.0.0.1:{server.server_port}/notices")
    monkeypatch.setenv(SECRET_VARIABLE, SECRET)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_run_that_does_not_come_is_told_once_and_ends_the_command_with_1(project, receiver) -> None:
    name = project.deploy(
        schedules=[{"interval": 2, "slug": "often"}], tags=["catch-up=latest", "resume=once", "absent-after-s=1"]
    )
    time.sleep(5)
    receiver.status = 503
    first = watch(project.client, Limits(), project.root)
    assert [each.kind for each in first.notices] == ["absent"]
    assert first.problems, "a notice that was not taken went unsaid"
    receiver.status = 200
    towpath(project, "watch", code=1)
    assert [each["type"] for each in receiver.taken] == ["schedule.absent"]
    assert name in receiver.taken[0]["data"]["sentence"]
    assert f'towpath_schedule_absent{{deployment="{name}"}} 1.0' in (project.root / METRICS).read_text()
    assert not watch(project.client, Limits(), project.root).notices, "the same notice came twice"
    run = project.trigger(name)
    for state in (Pending(), Running()):
        project.client.set_flow_run_state(run.id, state)
    watch(project.client, Limits(), project.root)
    assert f'towpath_schedule_absent{{deployment="{name}"}} 0.0' in (project.root / METRICS).read_text()


def test_a_run_that_failed_is_told(project, receiver) -> None:
    name = project.deploy(parameters={"folder": "/nowhere"})
    with project.worker():
        run = project.trigger(name)
        until(lambda: project.client.read_flow_run(run.id).state.is_failed(), "the run fails")
    assert [each.kind for each in watch(project.client, Limits(), project.root).notices] == ["failed"]
    assert "No such file" in receiver.taken[0]["data"]["sentence"]
    assert f'towpath_schedule_last_run_failed{{deployment="{name}"}} 1.0' in (project.root / METRICS).read_text()


def test_a_paused_schedule_is_not_due_and_nobody_misses_it(project) -> None:
    name = project.deploy(schedules=[{"interval": 2}], tags=["catch-up=none", "resume=once", "absent-after-s=1"])
    assert towpath(project, "pause", name) == {"name": name, "active": False}
    assert towpath(project, "next", name) == {name: []}
    assert [row["active"] for row in towpath(project, "list")] == [False]
    time.sleep(4)
    assert not look(project.client, Limits()).notices
    assert towpath(project, "resume", name)["active"]
    assert len(towpath(project, "next", name, "--count", "5")[name]) == 5
    with pytest.raises(UnknownNameError, match=f"did you mean `{name}`"):
        deployment(project.client, name + "x")
    assert towpath(project, "trigger", name, "--at", "tomorrow", code=2)
