"""The flows of a release: one that ticks every rollout, and one in which an approval waits in Prefect for its form.

Both may die at any time: the ledger has the state, and whoever runs next goes on from it. A form only carries a token
to the ledger; its row there is the approval, whichever way it came.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from uuid import UUID

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput, keyset_from_paused_state
from pydantic import SecretStr

from components.errors import ConflictError, InfrastructureError, TowpathError
from components.release.records import Approval, Decision
from pipelines.release.actors import who
from pipelines.release.approvals import Waiting, speak, waiting
from pipelines.release.environments import load_environment
from pipelines.release.own import own_environments
from pipelines.release.reconcile import Drift, reconcile
from pipelines.release.rounds import go_round, look_all
from pipelines.release.tick import Ticked, with_sentences

_LOOK_S = 2.0
ELSEWHERE = "elsewhere"


class ApprovalForm(RunInput):
    """What Prefect asks for."""

    decision: Literal["approve", "reject", "elsewhere"]
    """``elsewhere``: it was decided in the ledger meanwhile; nobody needs to choose this."""
    token: SecretStr = SecretStr("")
    """The actor's own token for the environment; empty where no actors are configured."""
    reason: str = ""


@task(name="reconcile", task_run_name="reconcile {env}", cache_policy=NO_CACHE, retries=2, retry_delay_seconds=2)
def _reconcile(env: str) -> tuple[Drift, ...]:
    return reconcile(load_environment(env))


@task(name="tick", task_run_name="tick {env}", cache_policy=NO_CACHE)
def _tick(env: str) -> tuple[Ticked, ...]:
    return look_all(load_environment(env))


@flow(name="rollouts", persist_result=False, validate_parameters=False)
def rollouts_flow(environments: tuple[str, ...] = ()) -> tuple[Ticked, ...]:
    """Look once at every rollout, then repair what does not follow the ledger; running it twice does no harm.

    Raises:
        InfrastructureError: an environment could not be looked at or repaired, or a look failed.
    """
    done = go_round(environments or own_environments(), _tick, _repaired)
    failed = [f"{env}: {error}" for env, error in done.errors]
    failed += [
        f"{each.model} in {each.env}: {' '.join(each.sentences)}" for each in done.looked if each.action == "failed"
    ]
    if failed:
        raise InfrastructureError("; ".join(failed))
    return done.looked


def _repaired(env: str, looked: Sequence[Ticked]) -> tuple[Ticked, ...]:
    """Repair an environment, and say beside every look, and in the log, what still does not follow."""
    left = [drift for drift in _reconcile(env) if drift.problem]
    for drift in left:
        get_run_logger().warning("%s of %s in %s: %s", drift.what, drift.model, drift.env, drift.problem)
    return tuple(
        with_sentences(each, dict.fromkeys(drift.problem for drift in left if drift.model == each.model))
        for each in looked
    )


@flow(name="approval", persist_result=False, validate_parameters=False)
def approval_flow(model: str, env: str, timeout_s: int = 86_400) -> Approval | None:
    """Wait in Prefect until somebody fills in the form, and carry it to the ledger; None when it was decided elsewhere.

    Raises:
        ConflictError: nothing waits, or the slot moved on before the form came.
        GateRefusedError: the actor may not approve this.
        BadInputError: a token is needed and none was given.
    """
    where = load_environment(env)
    step = waiting(where, model)
    if step.needed == 0:
        raise ConflictError(f"{step.target} of {model} in {env} needs nobody's approval at revision {step.rev}")
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("the approval waits in a flow run")
    run_id = context.flow_run.id
    settled = threading.Event()
    watcher = threading.Thread(target=_watch_ledger, args=(step, Path.cwd(), run_id, settled), daemon=True)
    watcher.start()
    try:
        question = ApprovalForm.with_initial_data(description=_question(step))
        form = pause_flow_run(wait_for_input=question, timeout=timeout_s, poll_interval=1)
    finally:
        settled.set()
    _forget_token(run_id, form)
    if form.decision == ELSEWHERE:
        return None
    actor = who(where, form.token.get_secret_value())
    return speak(where, model, actor, Decision(form.decision), form.reason, step.rev)


def _question(step: Waiting) -> str:
    return (
        f"Version {step.version} of {step.model} (product {step.artifact_digest[:12]}) waits for `{step.target}` in "
        f"{step.env} at revision {step.rev}. Its author, {step.author}, may not approve it."
    )


def _forget_token(run_id: UUID, form: ApprovalForm) -> None:
    """Delete what was filled in: it holds a token, and the ledger has the approval."""
    with get_client(sync_client=True) as client, contextlib.suppress(ObjectNotFound):
        client.delete_flow_run_input(run_id, form.metadata.key)


def _watch_ledger(step: Waiting, root: Path, run_id: UUID, settled: threading.Event) -> None:
    """End the waiting when the step was decided without the form."""
    while not settled.wait(_LOOK_S):
        with contextlib.suppress(Exception):  # whatever failed may be over at the next look, and nobody else looks
            if _is_decided(step, root):
                _resume(run_id)
                return


def _is_decided(step: Waiting, root: Path) -> bool:
    try:
        now = waiting(load_environment(step.env, root), step.model)
    except ConflictError:
        return True
    except InfrastructureError:
        raise
    except TowpathError:
        return True
    if now.rev != step.rev:
        return True
    approvals = [each for each in now.given if each.decision is Decision.APPROVE and each.actor != now.author]
    return len(approvals) >= step.needed or any(each.decision is Decision.REJECT for each in now.given)


def _resume(run_id: UUID) -> None:
    with get_client(sync_client=True) as client, contextlib.suppress(ObjectNotFound):
        run = client.read_flow_run(run_id)
        if run.state is not None and run.state.is_paused():
            keyset_from_paused_state(run.state)  # raises for a pause without a form
            client.resume_flow_run(run_id, run_input={"decision": ELSEWHERE, "token": "", "reason": ""})
