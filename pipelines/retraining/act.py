"""Decide for one model, ask for the training once, and write down what was decided. Trains and judges nothing.

What the training comes to is a challenger: it is registered past every gate, and it is stable nowhere until a person
accepts it and a release plan takes it further.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from components.errors import AlreadyRunningError, UnknownNameError
from components.stage.files import write_json
from pipelines.config import load_model, model_names
from pipelines.retraining.decide import Cause, Decision, History, Retrain, Wait, decide
from pipelines.retraining.history import REPORT, TAG, read_history, training_deployment
from pipelines.state import LOCKS, STATE
from pipelines.watch.publish import last_report

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

    from pipelines.retraining.config import RetrainingSection

DECISIONS = STATE / "retraining"
"""The last decision about each model, for programs; all of them are artifacts in Prefect."""
_LOCK_S = 60.0
_REASON_CHARACTERS = 1_000


@dataclass(frozen=True)
class Decided:
    """What was decided about one model, and what came of it."""

    model: str
    at: str
    environment: str
    """Whose traffic was looked at; empty where retraining is off."""
    decision: str
    """``retrain``, ``wait`` or ``nothing``."""
    reason: str
    causes: tuple[Cause, ...]
    until: str
    """When waiting ends, where that is known."""
    report: str
    """The digest of the report that leads to a training."""
    flow_run: str
    """The flow run that was asked for; empty where none was."""


def would(client: SyncPrefectClient, model: str, root: Path = Path()) -> Decided:
    """Return what would be decided about a model now; changes nothing.

    Raises:
        UnknownNameError: there is no such model, or the server has no training of it.
        ConfigError: something in its file is wrong.
        BadInputError: the last report is damaged.
        InfrastructureError: a ledger cannot be reached.
        httpx.HTTPError: the Prefect server does not answer.
    """
    policy, decision = _decide(client, model, root)
    return _decided(model, policy, decision)


def act(client: SyncPrefectClient, model: str, root: Path = Path()) -> Decided:
    """Decide about a model, ask for its training if that is the decision, and write it down.

    Raises:
        AlreadyRunningError: somebody else has been deciding about the model for a minute.
        TowpathError: as `would`.
        httpx.HTTPError: the Prefect server does not answer.
    """
    with _alone(model, root):  # two reports at once are one training
        policy, decision = _decide(client, model, root)
        run = _ask(client, model, decision) if isinstance(decision, Retrain) else None
    decided = _decided(model, policy, decision, run)
    if policy is not None:
        _write_down(client, decided, root)
    return decided


@contextmanager
def _alone(model: str, root: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    (root / LOCKS).mkdir(parents=True, exist_ok=True)
    lock = FileLock(root / LOCKS / f"retraining-{model}.lock")
    try:
        lock.acquire(timeout=_LOCK_S)
    except Timeout as error:
        raise AlreadyRunningError(
            f"whether {model} is trained again is being decided by another process for more than {_LOCK_S:.0f} s; "
            f"nothing was asked for: look with `towpath retraining {model} --dry-run`, and wait for it or stop it"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _decide(client: SyncPrefectClient, model: str, root: Path) -> tuple[RetrainingSection | None, Decision]:
    policy = load_model(model, root).model.retraining
    if policy is None:
        return None, decide(None, None, History(stable=None), datetime.now(UTC))
    report = last_report(model, policy.environment, root)
    history = read_history(client, model, policy.environment, root)
    return policy, decide(policy, report, history, datetime.now(UTC))


def _ask(client: SyncPrefectClient, model: str, retrain: Retrain) -> FlowRun:
    """Create the run of the model's training; the same report again is the same run, whoever asks."""
    where = training_deployment(client, model)
    cause = {
        "towpath.retraining": retrain.report,
        "towpath.retraining.reason": retrain.reason[:_REASON_CHARACTERS],
        "towpath.retraining.drifted": ",".join(retrain.columns)[:_REASON_CHARACTERS],
    }
    return client.create_flow_run_from_deployment(
        where.id,
        parameters={"challenger": True, "cause": cause},
        tags=[TAG, f"report:{retrain.report[:12]}", *(f"drifted:{each}" for each in retrain.columns[:5])],
        labels={REPORT: retrain.report},
        idempotency_key=f"retraining {where.id} {retrain.report}",
    )


def _decided(model: str, policy: RetrainingSection | None, decision: Decision, run: FlowRun | None = None) -> Decided:
    return Decided(
        model=model,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=policy.environment if policy else "",
        decision=type(decision).__name__.lower(),
        reason=decision.reason,
        causes=decision.causes if isinstance(decision, Retrain | Wait) else (),
        until=decision.until if isinstance(decision, Wait) else "",
        report=decision.report if isinstance(decision, Retrain) else "",
        flow_run=str(run.id) if run else "",
    )


def _write_down(client: SyncPrefectClient, decided: Decided, root: Path) -> None:
    from prefect.client.schemas.actions import ArtifactCreate
    from prefect.events.worker import EventsWorker
    from prefect.utilities.context import get_task_and_flow_run_ids

    write_json(root / DECISIONS / f"{decided.model}.json", decided)
    rows = {
        "decision": decided.decision,
        "why": decided.reason,
        "causes": "; ".join(each.sentence for each in decided.causes) or "-",
        "until": decided.until or "-",
        "flow run": decided.flow_run or "-",
    }
    page = "\n".join(["| what | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])
    task_run, flow_run = get_task_and_flow_run_ids()  # none where a person asks
    key = f"retraining-{decided.model}".replace("_", "-").lower()
    artifact = ArtifactCreate(key=key, type="markdown", data=page, task_run_id=task_run, flow_run_id=flow_run)
    client.create_artifact(artifact)
    EventsWorker.instance().wait_until_empty()  # Prefect tells of it in a thread, and complains at the end of a command


def models_to_decide(root: Path = Path(), models: tuple[str, ...] = ()) -> list[str]:
    """Return the models for which retraining is on, of those named or of all.

    Raises:
        UnknownNameError: one of them is not configured.
        ConfigError: something in a file is wrong.
    """
    known = model_names(root)
    if unknown := next((each for each in models if each not in known), None):
        raise UnknownNameError(f"no model `{unknown}`; there are: {', '.join(known) or 'none'}")
    return [each for each in models or known if load_model(each, root).model.retraining is not None]
