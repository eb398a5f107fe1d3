"""Runs that did not happen: given up as the policy has it, or reported as missing. Knows nothing of processes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pipelines.schedules.deployments import is_active, last_due, latest_run, runs_in
from pipelines.schedules.notices import Notice, Standing
from pipelines.schedules.policy import CatchUp, Policy

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import DeploymentResponse

SKIPPED = "Skipped"


def give_up_missed(client: SyncPrefectClient, where: DeploymentResponse, policy: Policy, late_s: float) -> int:
    """Skip the scheduled runs that were missed, but for the last one where the policy asks for it."""
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterNextScheduledStartTime
    from prefect.states import Cancelled

    before = datetime.now(UTC) - timedelta(seconds=late_s)
    late = FlowRunFilter(next_scheduled_start_time=FlowRunFilterNextScheduledStartTime(before_=before))
    missed = [run for run in runs_in(client, where, "SCHEDULED", narrowed=late) if _was_missed(run)]
    missed.sort(key=lambda run: run.expected_start_time or before)
    if policy.catch_up is CatchUp.LATEST:
        missed = missed[:-1]
    for run in missed:
        message = f"Missed, and given up: the policy is catch-up={policy.catch_up.value}."
        client.set_flow_run_state(run.id, Cancelled(name=SKIPPED, message=message))
    return len(missed)


def _was_missed(run: FlowRun) -> bool:
    """Return whether nobody took a scheduled run; one that waits for a slot was taken, and a person's is not ours."""
    return bool(run.auto_scheduled) and run.state_name in ("Scheduled", "Late")


def standing_of(client: SyncPrefectClient, where: DeploymentResponse, policy: Policy) -> tuple[Standing, list[Notice]]:
    """Say how a flow deployment stands, and whether a run that was due is missing."""
    now = datetime.now(UTC)
    run = latest_run(client, where)
    due = last_due(where, now - timedelta(seconds=policy.absent_after_s)) if is_active(where) else None
    absent = due is not None and not _covers(run, due)
    standing = Standing(
        deployment=where.name,
        active=is_active(where),
        absent=absent,
        last_start=run.start_time.timestamp() if run and run.start_time else None,
        last_failed=bool(run and run.state and (run.state.is_failed() or run.state.is_crashed())),
    )
    if not absent or due is None:
        return standing, []
    last = run.start_time.isoformat() if run and run.start_time else "never"
    sentence = (
        f"{where.name} was due at {due.isoformat()} and has not begun (last: {last}); "
        f"is a worker of the pool `{where.work_pool_name}` up?"
    )
    return standing, [Notice(f"absent {where.id} since {last}", "absent", where.name, sentence)]


def _covers(run: FlowRun | None, due: datetime) -> bool:
    """Return whether the run that began last was going on at a time, or began after it."""
    if run is None or run.start_time is None:
        return False
    return run.start_time >= due or run.end_time is None or run.end_time >= due
