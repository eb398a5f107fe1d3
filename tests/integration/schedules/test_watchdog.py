"""Runs that die, at a real server: noticed, their slot freed, resumed once, and no living run taken for dead.

Shortened against what is shipped: looks come 1 s apart instead of 15 s, and a run may be pending for 1 s instead of 45.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.states import Cancelling, Crashed, Pending, Running, State

from pipelines.schedules.deployments import deployment, trigger
from pipelines.schedules.presence import COMMIT, CREATED, PID, PLACE, RESUMES, here
from pipelines.schedules.watchdog import Limits, Look, look
from tests.waiting import until

pytestmark = pytest.mark.slow

QUICK = Limits(pending_s=1.0, silent_s=1.0)


def runs_of(project, name: str) -> list[FlowRun]:
    return project.client.read_flow_runs(
        deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[name])), limit=200
    )


def began_runs(project, name: str) -> list[FlowRun]:
    return [run for run in runs_of(project, name) if not run.auto_scheduled]


def looks_until(project, kind: str, limits: Limits = QUICK, heard_since: float | None = None) -> Look:
    """Look once a second until something of a kind is found."""

    def once() -> Look | None:
        found = look(project.client, limits, heard_since)
        if any(notice.kind == kind for notice in found.notices):
            return found
        time.sleep(1)
        return None

    return until(once, f"a notice `{kind}`")


def running(project, name: str) -> FlowRun:
    """Wait until a run's process has said that it is there."""

    def found() -> FlowRun | None:
        return next((r for r in runs_of(project, name) if r.state.is_running() and PLACE in r.labels), None)

    try:
        return until(found, "a run that runs", 120)
    except AssertionError as error:
        seen = [(each.state_name, each.labels) for each in runs_of(project, name)]
        raise AssertionError(f"{error}\nseen: {seen}\nthe worker: {project.worker_log()[-4000:]}") from error


def test_a_run_killed_with_its_worker_is_noticed_its_slot_freed_and_it_goes_on_once(project) -> None:
    name = project.deploy()
    with project.worker() as worker:
        first = project.trigger(name)
        run = running(project, name)
        assert run.id == first.id
        assert project.slots(name) == 1
        assert not look(project.client, QUICK).notices, "a living run was taken for dead"
        os.killpg(worker.pid, signal.SIGKILL)  # as when a machine goes down
        with contextlib.suppress(ProcessLookupError):  # it may have been in the worker's group
            os.kill(run.labels[PID], signal.SIGKILL)
        killed_at = time.monotonic()
        looks_until(project, "killed")
        noticed_s = time.monotonic() - killed_at
        print(f"noticed {noticed_s:.1f} s after the kill")  # shown with -s
        assert noticed_s < 60
    assert project.client.read_flow_run(run.id).state.is_crashed()
    assert project.slots(name) == 0
    for _ in range(3):
        look(project.client, QUICK)
    again = [each for each in began_runs(project, name) if each.id != first.id]
    assert [each.labels[RESUMES] for each in again] == [str(first.id)]
    with project.worker():
        resumed = running(project, name)
        assert resumed.id == again[0].id
        os.kill(resumed.labels[PID], signal.SIGKILL)  # this time the worker lives, and says so itself
        until(lambda: project.client.read_flow_run(again[0].id).state.is_crashed(), "the worker notices")
        look(project.client, QUICK)
    assert len(began_runs(project, name)) == 2, "a run that was resumed already was resumed again"


def test_a_run_killed_under_a_living_worker_goes_on_once_at_its_own_commit(project) -> None:
    name = project.deploy(parameters={"folder": str(project.began), "ref": "HEAD"})
    with project.worker():
        first = project.trigger(name)
        run = running(project, name)
        project.client.update_flow_run_labels(run.id, {**run.labels, COMMIT: "c" * 40})
        os.kill(run.labels[PID], signal.SIGKILL)
        looks_until(project, "resumed")
    again = next(each for each in began_runs(project, name) if each.id != first.id)
    assert again.parameters["ref"] == "c" * 40


def test_a_run_that_nobody_starts_is_ended_and_its_slot_freed(project) -> None:
    name = project.deploy(tags=["catch-up=latest", "resume=never", "absent-after-s=3600"])
    run = project.trigger(name)
    project.client.set_flow_run_state(run.id, Pending())
    assert project.slots(name) == 1
    looks_until(project, "stranded")
    assert project.client.read_flow_run(run.id).state.is_crashed()
    assert project.slots(name) == 0
    assert len(began_runs(project, name)) == 1, "resume=never was not kept"


def dead_run(project, name: str, *states: State) -> FlowRun:
    """Return a run of a process on this machine that is gone."""
    run = project.trigger(name)
    for state in (Pending(), Running(), *states):
        project.client.set_flow_run_state(run.id, state)
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    project.client.update_flow_run_labels(run.id, {PLACE: here(), PID: gone.pid, CREATED: 1.0})
    return run


def test_a_killed_run_that_a_person_was_stopping_does_not_go_on(project) -> None:
    name = project.deploy()
    run = dead_run(project, name, Cancelling())
    looks_until(project, "killed")
    look(project.client, QUICK)
    assert project.client.read_flow_run(run.id).state.is_cancelled()
    assert project.slots(name) == 0
    assert len(began_runs(project, name)) == 1


def test_a_killed_run_does_not_go_on_when_a_later_one_has_begun(project) -> None:
    name = project.deploy()
    run = dead_run(project, name, Crashed())
    later = trigger(project.client, name, datetime.now(UTC) - timedelta(minutes=5))
    for state in (Pending(), Running()):
        project.client.set_flow_run_state(later.id, state)
    project.client.update_flow_run_labels(later.id, {PLACE: "another machine"})
    found = look(project.client, QUICK)
    assert [notice.kind for notice in found.notices] == ["failed"]
    assert {each.id for each in began_runs(project, name)} == {run.id, later.id}


def test_a_slot_that_no_run_holds_is_freed(project) -> None:
    name = project.deploy()
    limit = deployment(project.client, name).global_concurrency_limit
    project.client.update_global_concurrency_limit(limit.name, GlobalConcurrencyLimitUpdate(active_slots=1))
    assert look(project.client, QUICK).freed_slots == 1
    assert project.slots(name) == 0


def test_a_run_elsewhere_is_given_up_when_its_heartbeat_stops_but_not_for_an_outage(project) -> None:
    name = project.deploy(tags=["catch-up=latest", "resume=never", "absent-after-s=3600"])
    run = project.trigger(name)
    for state in (Pending(), Running()):
        project.client.set_flow_run_state(run.id, state)
    project.client.update_flow_run_labels(run.id, {PLACE: "another machine"})
    time.sleep(1.5)
    assert not look(project.client, QUICK, None).notices
    assert not look(project.client, QUICK, time.time()).notices, "the server was not heard for long enough"
    found = looks_until(project, "killed", heard_since=time.time() - 60)
    assert "no heartbeat" in found.notices[0].sentence


def test_a_run_elsewhere_that_sends_heartbeats_is_left_alone(project) -> None:
    name = project.deploy(
        work_pool={"name": "towpath", "job_variables": {"env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}}}
    )
    with project.worker():
        project.trigger(name)
        run = running(project, name)
        project.client.update_flow_run_labels(run.id, {**run.labels, PLACE: "another machine"})
        project.client.update_flow_run(run.id, infrastructure_pid="elsewhere")
        second = datetime.now(UTC) + timedelta(seconds=20)  # the first comes with the run, the next 30 s later
        until(lambda: [at for at in heartbeats(project, run) if at > second], "a second heartbeat", 90)
        age_s = (datetime.now(UTC) - run.state.timestamp).total_seconds()
        assert not look(project.client, Limits(silent_s=age_s - 1), time.time() - 600).notices
        time.sleep(6)
        found = look(project.client, Limits(silent_s=5.0), time.time() - 600).notices
        assert [each.kind for each in found][:1] == ["killed"]


def heartbeats(project, run: FlowRun) -> list[datetime]:
    """Return when the heartbeats came that the server has of a run."""
    asked = EventFilter(event=EventNameFilter(name=["prefect.flow-run.heartbeat"]))
    found = project.client.read_events(asked, limit=50).events
    return [each.occurred for each in found if each.resource.id == f"prefect.flow-run.{run.id}"]
