"""The flow that looks at what the gateways logged, model by model; running it twice does no harm.

An alarm is no failure of the flow: it is what the flow is for. It stands in the report, in Prometheus' file and in
MLflow, and the command `towpath monitor` ends with 4. The flow fails where it could not look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from prefect import flow, task
from prefect.context import FlowRunContext

from components.errors import BadInputError, InfrastructureError, TowpathError
from components.types.monitoring import MonitoringReport
from pipelines.config import model_names
from pipelines.release.environments import EnvironmentConfig, load_environment
from pipelines.release.own import own_environments
from pipelines.retrying import TASK_OPTIONS
from pipelines.watch.gateways import is_served
from pipelines.watch.look import begin
from pipelines.watch.publish import WrittenReport
from pipelines.watch.run import Looked, Work


@task(name="look", task_run_name="{step}", **TASK_OPTIONS)
def _look(work: Work, step: str) -> None:
    getattr(work, step)()


@task(name="write", **TASK_OPTIONS)
def _write(work: Work, report: MonitoringReport) -> WrittenReport:
    return work.write(report)


@task(name="record", **TASK_OPTIONS)
def _record(work: Work, report: MonitoringReport, written: WrittenReport, flow_run_id: str) -> str:
    return work.record(report, written, flow_run_id)


@flow(name="monitoring", persist_result=False, validate_parameters=False)
def monitoring_flow(
    models: Sequence[str] = (), environments: Sequence[str] = (), window: str = "", since: str = ""
) -> tuple[Looked, ...]:
    """Look at every model that is stable somewhere, or at those named; one that fails keeps no other from its look.

    Args:
        models: The models; empty for all that are configured.
        environments: Where; empty for all that are this installation's. One that nobody ever served from is no alarm
            then, as it is where it is named.
        window: How far back to look instead of as each model is configured: ``30m``, ``1h``, ``7d``.
        since: The first moment to look at instead, in ISO 8601; without a zone it is UTC.

    Raises:
        UnknownNameError: there is no such environment or model.
        BadInputError: `since` is no time.
        InfrastructureError: a look failed; the others are written down.
    """
    start = _moment(since)
    looked: list[Looked] = []
    failed: list[str] = []
    for name in environments or own_environments():
        env = load_environment(name)
        try:
            chosen = models or _served(env)
        except InfrastructureError as error:  # one ledger that is down keeps no other environment from its look
            failed.append(f"{name}: {error}")
            continue
        for model in chosen:
            try:
                watch = replace(begin(env, model, start, window), is_served=bool(environments) or is_served(env))
                looked.append(_look_at(Work(watch)))
            except TowpathError as error:
                failed.append(f"{model} in {name}: {error}")
    failed += [f"{each.report.model} in {each.report.environment}: {said}" for each in looked for said in each.problems]
    if failed:
        raise InfrastructureError("; ".join(failed))
    return tuple(looked)


def _look_at(work: Work) -> Looked:
    for step in ("traffic", "drift", "quality", "live"):
        _look(work, step)
    report = work.report()
    written = _write(work, report)
    try:
        return Looked(report, written, _record(work, report, written, _flow_run_id()))
    except InfrastructureError as error:  # what was found is written down and counts
        return Looked(report, written, "", (str(error),))


def _served(env: EnvironmentConfig) -> list[str]:
    """Return the configured models of which a version is stable in an environment."""
    stable = {slot.model for slot in env.ledger().slots() if slot.env is env.name and slot.stable is not None}
    return [name for name in model_names(env.root) if name in stable]


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInputError(f"since is {text!r}, expected a time such as 2026-01-31T12:00:00") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _flow_run_id() -> str:
    context = FlowRunContext.get()
    return "" if context is None or context.flow_run is None else str(context.flow_run.id)
