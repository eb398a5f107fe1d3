"""What nobody would notice: runs that were killed, stranded, missed, failed or never began. Finds, frees, resumes once.

It runs beside Prefect and never as one of its flows: a worker that is down could not report that it is down. Whatever
must happen once is made so by the server (an idempotency key), so that two watchdogs do no harm.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pipelines.schedules.deployments import deployments, latest_run, runs_in
from pipelines.schedules.missed import give_up_missed, standing_of
from pipelines.schedules.notices import Notice, Standing
from pipelines.schedules.policy import Policy, Resume
from pipelines.schedules.presence import COMMIT, RESUMES, Presence, presence

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import DeploymentResponse

RESUMED_TAG = "resumed"
_LEAK_S = 1.0
_HEARTBEAT = "prefect.flow-run.heartbeat"


@dataclass(frozen=True)
class Limits:
    """When the watchdog calls something wrong."""

    pending_s: float = 45.0
    """How long a run may wait for its process, where no process of it can be seen."""
    silent_s: float = 45.0
    """How long a run on another machine may send no heartbeat; Prefect sends one every 30 s."""
    late_s: float = 90.0
    """How long after its time a run that nobody took counts as missed."""
    lookback_s: float = 86_400.0
    """How long ago a run may have ended for its end to be told."""


@dataclass(frozen=True)
class Look:
    """What one look found, and did."""

    notices: tuple[Notice, ...]
    standings: tuple[Standing, ...]
    freed_slots: int
    skipped: int
    """Missed runs that the catch-up policy gave up."""

    @property
    def counts(self) -> dict[str, int]:
        """How many of each kind."""
        return {**Counter(each.kind for each in self.notices), "freed": self.freed_slots, "skipped": self.skipped}


def look(client: SyncPrefectClient, limits: Limits, heard_since: float | None = None) -> Look:
    """Look once at every flow deployment of ours.

    Args:
        client: The server.
        limits: When something counts as wrong.
        heard_since: Since when the server has answered without a break (`time.time`); heartbeats are judged only when
            that is long enough, so that no run is given up for an outage of the server's. None: not at all.

    Raises:
        ConfigError: the tags of a flow deployment cannot be used.
        httpx.HTTPError: the server does not answer.
    """
    can_judge = heard_since is not None and time.time() - heard_since > limits.silent_s
    beating = _beating(client, limits.silent_s) if can_judge else None
    notices: list[Notice] = []
    standings = []
    freed = skipped = 0
    for where, policy in deployments(client):
        notices += _end_the_dead(client, where, limits, beating)
        freed += _free_leaked_slots(client, where)
        notices += _ended_badly(client, where, limits, policy)
        skipped += give_up_missed(client, where, policy, limits.late_s)
        standing, absence = standing_of(client, where, policy)
        standings.append(standing)
        notices += absence
    return Look(tuple(notices), tuple(standings), freed, skipped)


def _end_the_dead(
    client: SyncPrefectClient, where: DeploymentResponse, limits: Limits, beating: set[str] | None
) -> list[Notice]:
    """End the runs that have no process any more; that frees their slots."""
    from prefect.states import Cancelled, Crashed

    notices = []
    for run in runs_in(client, where, "RUNNING", "PENDING", "CANCELLING"):
        reason = _reason(run, limits, beating)
        if not reason:
            continue
        now = client.read_flow_run(run.id)  # it may have ended well between the question and the look at its process
        if now.state is None or run.state is None or now.state.id != run.state.id:
            continue
        ended = Cancelled if run.state.is_cancelling() else Crashed  # what a person stopped does not go on
        client.set_flow_run_state(run.id, ended(message=f"The watchdog ended this run: {reason}."))
        kind = "stranded" if run.state.is_pending() else "killed"
        notices.append(Notice(f"{kind} {run.id}", kind, where.name, f"run {run.name} of {where.name}: {reason}"))
    return notices


def _reason(run: FlowRun, limits: Limits, beating: set[str] | None) -> str:
    """Say why a run counts as dead; empty for one that lives."""
    found = presence(run)
    if found is Presence.ALIVE or run.state is None:
        return ""
    age_s = (datetime.now(UTC) - run.state.timestamp).total_seconds()
    if run.state.is_pending():
        return f"it waited {age_s:.0f} s for its process" if age_s > limits.pending_s else ""
    if found is Presence.DEAD:
        return "its process is gone"
    if beating is not None and age_s > limits.silent_s and str(run.id) not in beating:
        return f"no heartbeat came for {limits.silent_s:.0f} s"
    return ""


def _beating(client: SyncPrefectClient, silent_s: float) -> set[str]:
    """Return the runs of which a heartbeat came lately."""
    from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter

    since = datetime.now(UTC) - timedelta(seconds=silent_s)
    asked = EventFilter(occurred=EventOccurredFilter(since=since), event=EventNameFilter(name=[_HEARTBEAT]))
    page = client.read_events(asked, limit=50)
    found = list(page.events)
    while page.next_page:
        page = client.read_events_page(str(page.next_page))
        found += page.events
    return {event.resource.id.removeprefix("prefect.flow-run.") for event in found}


def _free_leaked_slots(client: SyncPrefectClient, where: DeploymentResponse) -> int:
    """Free slots that no run holds: a server that was restarted has forgotten who held them."""
    from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate

    if not _leaked(client, where):
        return 0
    time.sleep(_LEAK_S)  # a run that is just coming or going is no leak
    limit = client.read_deployment(where.id).global_concurrency_limit
    leaked = _leaked(client, where)
    if limit is None or not leaked:
        return 0
    update = GlobalConcurrencyLimitUpdate(active_slots=max(0, limit.active_slots - leaked))
    client.update_global_concurrency_limit(limit.name, update)
    return leaked


def _leaked(client: SyncPrefectClient, where: DeploymentResponse) -> int:
    limit = client.read_deployment(where.id).global_concurrency_limit
    if limit is None or limit.active_slots == 0:
        return 0
    return max(0, limit.active_slots - len(runs_in(client, where, "RUNNING", "PENDING", "CANCELLING")))


def _ended_badly(client: SyncPrefectClient, where: DeploymentResponse, limits: Limits, policy: Policy) -> list[Notice]:
    """Tell of failed runs, and resume those that were killed."""
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterEndTime

    since = FlowRunFilterEndTime(after_=datetime.now(UTC) - timedelta(seconds=limits.lookback_s))
    notices = []
    for run in runs_in(client, where, "FAILED", "CRASHED", narrowed=FlowRunFilter(end_time=since)):
        message = " ".join((run.state.message or "").split())[:500] if run.state else ""
        sentence = f"run {run.name} of {where.name} ended as {run.state_name}: {message}"
        notices.append(Notice(f"failed {run.id}", "failed", where.name, sentence))
        if run.state is not None and run.state.is_crashed() and policy.resume is Resume.ONCE:
            notices += _resume(client, where, run)
    return notices


def _resume(client: SyncPrefectClient, where: DeploymentResponse, run: FlowRun) -> list[Notice]:
    """Run a killed run once more, at its own commit, unless it was resumed already or a later run has begun since."""
    later = latest_run(client, where)
    superseded = later and later.id != run.id and run.end_time and later.start_time and later.start_time > run.end_time
    if RESUMED_TAG in run.tags or superseded:
        return []
    parameters = {**run.parameters, **({"ref": run.labels[COMMIT]} if COMMIT in run.labels else {})}
    again = client.create_flow_run_from_deployment(
        where.id,
        parameters=parameters,
        name=f"{run.name}-resumed",
        tags=[RESUMED_TAG],
        labels={RESUMES: str(run.id)},
        idempotency_key=f"resume {run.id}",
    )
    sentence = f"run {run.name} of {where.name} was killed; {again.name} goes on from it"
    return [Notice(f"resumed {run.id}", "resumed", where.name, sentence)]
