"""The flow deployments of infra/prefect.yaml as Prefect has them: listed, paused, triggered.

Knows nothing of what a flow does, nor of runs that went wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from components.errors import BadInputError, UnknownNameError
from components.stage.config import nearest
from pipelines.schedules.policy import Policy, read_policy

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.filters import DeploymentFilter, FlowRunFilter
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import DeploymentResponse

_PAGE = 200
_PROBLEM_CHARACTERS = 500
_WINDOWS = tuple(timedelta(hours=hours) for hours in (2, 26, 8 * 24, 32 * 24, 367 * 24))
"""How far to look along a schedule, the shortest first: Prefect stops at a thousand dates."""


@dataclass(frozen=True)
class Scheduled:
    """A flow deployment of ours."""

    name: str
    entry_point: str
    active: bool
    schedules: tuple[str, ...]
    """As people read them: ``10 2 * * * Europe/Berlin``."""
    policy: Policy
    overlap: str
    """``skip``, ``queue`` or ``allow``."""
    next_at: str | None
    last_state: str | None
    last_at: str | None
    last_problem: str | None
    """What the server says of a last run that failed."""


def deployments(client: SyncPrefectClient) -> list[tuple[DeploymentResponse, Policy]]:
    """Return our flow deployments by name.

    Raises:
        ConfigError: the tags of one cannot be used.
    """
    found = sorted(every_deployment(client), key=lambda each: each.name)
    ours = [(each, read_policy(each.name, each.tags)) for each in found]
    return [(each, policy) for each, policy in ours if policy is not None]


def every_deployment(client: SyncPrefectClient) -> list[DeploymentResponse]:
    """Return all flow deployments that the server has, ours and others."""
    found: list[DeploymentResponse] = []
    while page := client.read_deployments(limit=_PAGE, offset=len(found)):
        found += page
    return found


def deployment(client: SyncPrefectClient, name: str) -> DeploymentResponse:
    """Return one of ours.

    Raises:
        UnknownNameError: there is none of this name.
    """
    known = {each.name: each for each, _ in deployments(client)}
    if name not in known:
        raise UnknownNameError(
            f"no schedule `{name}`{nearest(name, known)}; there are: {', '.join(known) or 'none'}"
            f"{'' if known else ' (`towpath schedule deploy` hands infra/prefect.yaml to the server)'}"
        )
    return known[name]


def listed(client: SyncPrefectClient) -> list[Scheduled]:
    """Return every flow deployment of ours and how its last run went."""
    rows = []
    for each, policy in deployments(client):
        run = latest_run(client, each)
        options = each.concurrency_options
        strategy = {"ENQUEUE": "queue", "CANCEL_NEW": "skip"}
        upcoming = next_times(each, 1)
        rows.append(
            Scheduled(
                name=each.name,
                entry_point=each.entrypoint or "",
                active=is_active(each),
                schedules=tuple(f"{_words(s.schedule)}" for s in each.schedules),
                policy=policy,
                overlap=strategy[options.collision_strategy.value] if options else "allow",
                next_at=upcoming[0].isoformat() if upcoming else None,
                last_state=run.state_name if run else None,
                last_at=run.start_time.isoformat() if run and run.start_time else None,
                last_problem=_problem(run),
            )
        )
    return rows


def _problem(run: FlowRun | None) -> str | None:
    """Return in one line why a run failed; None for one that did not."""
    if run is None or run.state is None or not (run.state.is_failed() or run.state.is_crashed()):
        return None
    return " ".join((run.state.message or "").split())[:_PROBLEM_CHARACTERS] or None


def latest_run(client: SyncPrefectClient, where: DeploymentResponse) -> FlowRun | None:
    """Return the run of a flow deployment that began last."""
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterStartTime
    from prefect.client.schemas.sorting import FlowRunSort

    began = FlowRunFilter(start_time=FlowRunFilterStartTime(is_null_=False))
    found = client.read_flow_runs(
        deployment_filter=_only(where), flow_run_filter=began, sort=FlowRunSort.START_TIME_DESC, limit=1
    )
    return found[0] if found else None


def _only(where: DeploymentResponse) -> DeploymentFilter:
    """Return Prefect's filter for the runs of one flow deployment."""
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId

    return DeploymentFilter(id=DeploymentFilterId(any_=[where.id]))


def runs_in(
    client: SyncPrefectClient, where: DeploymentResponse, *types: str, narrowed: FlowRunFilter | None = None
) -> list[FlowRun]:
    """Return the runs of a flow deployment in some states."""
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
    from prefect.client.schemas.objects import StateType

    wanted = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType(each) for each in types]))
    asked = (narrowed or FlowRunFilter()).model_copy(update={"state": wanted})
    found: list[FlowRun] = []
    while page := client.read_flow_runs(
        deployment_filter=_only(where), flow_run_filter=asked, limit=_PAGE, offset=len(found)
    ):
        found += page
        if len(page) < _PAGE:
            break
    return found


def is_active(where: DeploymentResponse) -> bool:
    """Return whether runs of a flow deployment are due at all."""
    return not where.paused and any(each.active for each in where.schedules)


def trigger(client: SyncPrefectClient, name: str, at: datetime | None = None) -> FlowRun:
    """Create the run of a flow deployment for a time; the same time again is the same run, whoever asks.

    Args:
        client: The server.
        name: The flow deployment.
        at: The time that the run stands for; the minute that has begun by default.

    Raises:
        UnknownNameError: there is no such flow deployment.
        BadInputError: the time has no zone.
    """
    from prefect.states import Scheduled as ScheduledState

    at = at or datetime.now(UTC).replace(second=0, microsecond=0)
    if at.tzinfo is None:
        raise BadInputError(f"the time {at.isoformat()} has no zone; write 2026-01-31T02:10:00+00:00")
    where = deployment(client, name)
    key, parameters = f"towpath {where.id} {at.astimezone(UTC).isoformat()}", {}
    for each in where.schedules:
        if (date := next(iter(_dates(each.schedule, at, 1)), None)) == at:
            key, parameters = f"scheduled {where.id} {each.id} {date}", each.parameters  # as Prefect's scheduler does
            break
    return client.create_flow_run_from_deployment(
        where.id, parameters=parameters, state=ScheduledState(scheduled_time=at), idempotency_key=key
    )


def set_active(client: SyncPrefectClient, name: str, *, active: bool) -> DeploymentResponse:
    """Pause or resume the schedules of a flow deployment; runs that go on are left alone.

    Raises:
        UnknownNameError: there is no such flow deployment.
    """
    where = deployment(client, name)
    change = client.resume_deployment if active else client.pause_deployment
    change(where.id)
    return client.read_deployment(where.id)


def next_times(where: DeploymentResponse, count: int, after: datetime | None = None) -> list[datetime]:
    """Return the times at which runs are due next; empty for one that is paused."""
    after = after or datetime.now(UTC)
    if not is_active(where):
        return []
    return sorted({date for each in where.schedules if each.active for date in _dates(each.schedule, after, count)})[
        :count
    ]


def last_due(where: DeploymentResponse, before: datetime) -> datetime | None:
    """Return the last time before `before` at which a run was due, since the schedule is as it is."""
    found = []
    for each in where.schedules:
        since = max(filter(None, (each.updated, where.created)), default=before)
        for window in _WINDOWS:
            dates = _dates(each.schedule, max(since, before - window), None, before) if each.active else []
            if dates:
                found.append(dates[-1])
                break
    return max(found, default=None)


def _dates(schedule: object, start: datetime, count: int | None, end: datetime | None = None) -> list[datetime]:
    """Return a schedule's dates; by the server's own reckoning, which the client's schedules lack."""
    import prefect.server.schemas.schedules as served

    if end is not None and start >= end:
        return []
    own = getattr(served, type(schedule).__name__).model_validate(schedule.model_dump())  # type: ignore[attr-defined]
    return sorted(own._get_dates_generator(n=count, start=start, end=end))


def _words(schedule: object) -> str:
    fields = schedule.model_dump()  # type: ignore[attr-defined]
    when = next(fields[key] for key in ("cron", "interval", "rrule") if key in fields)
    return f"{when} {fields.get('timezone') or 'UTC'}"
