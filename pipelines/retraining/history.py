"""What is known of a model before it is trained again, asked of its owners: Prefect and the ledger. Decides nothing.

There is no list of retrainings beside Prefect's: a flow run with the tag is one, whatever became of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from components.release.states import CANDIDATE, on_its_way
from components.types.release import Environment
from pipelines.release.environments import load_environment
from pipelines.retraining.decide import Attempt, History
from pipelines.run_lock import is_running
from pipelines.schedules.deployments import deployment, runs_in

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import DeploymentResponse

TAG = "retraining"
REPORT = "towpath.report"
"""The label of a flow run that holds the digest of the report that led to it."""


def training_deployment(client: SyncPrefectClient, model: str) -> DeploymentResponse:
    """Return the flow deployment that trains a model.

    Raises:
        UnknownNameError: the server has none.
    """
    return deployment(client, f"training-{model}")


def read_history(client: SyncPrefectClient, model: str, environment: str, root: Path = Path()) -> History:
    """Return what Prefect and the ledgers know of a model now.

    Raises:
        UnknownNameError: the server has no training of the model.
        InfrastructureError: a ledger cannot be reached.
        httpx.HTTPError: the Prefect server does not answer.
    """
    where = training_deployment(client, model)
    watched = load_environment(environment, root)
    return History(
        stable=watched.ledger().slot(model, watched.name).stable,
        attempts=_attempts(client, where),
        running=_running(client, where, model, root),
        rollouts=tuple(_rollouts(model, root)),
    )


def _attempts(client: SyncPrefectClient, where: DeploymentResponse) -> tuple[Attempt, ...]:
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
    from prefect.client.schemas.objects import StateType

    asked = FlowRunFilter(tags=FlowRunFilterTags(all_=[TAG]))
    found = runs_in(client, where, *(each.value for each in StateType), narrowed=asked)
    return tuple(
        Attempt(str(run.labels.get(REPORT, "")), run.created or datetime.now(UTC), str(run.id)) for run in found
    )


def _running(client: SyncPrefectClient, where: DeploymentResponse, model: str, root: Path) -> str:
    for run in runs_in(client, where, "RUNNING", "PENDING", "CANCELLING", "PAUSED", "SCHEDULED"):
        if _is_under_way(run):
            return f"run {run.name} of {where.name} is {run.state_name}"
    return f"a run of {model} on this machine" if is_running(model, root) else ""


def _is_under_way(run: FlowRun) -> bool:
    """Return whether a run goes on or is due; one that Prefect planned for later is neither."""
    if run.state is None or not run.state.is_scheduled():
        return True
    return not run.auto_scheduled or run.state_name != "Scheduled"


def _rollouts(model: str, root: Path) -> Iterator[str]:
    for name in Environment:
        slot = load_environment(name.value, root).ledger().slot(model, name)
        going = on_its_way(slot)
        if going is not None and name is Environment.LOCAL:
            yield f"version {going} is the challenger and waits for a person"
        elif going is not None:
            role = next(role for role in (CANDIDATE, "shadow", "canary") if getattr(slot, role) == going)
            yield f"version {going} is {role} in {name.value}"
