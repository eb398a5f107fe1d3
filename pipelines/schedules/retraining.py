"""The flow that decides, after each look at the traffic, whether a model is trained again. Trains nothing itself."""

from __future__ import annotations

from pathlib import Path

import httpx
from prefect import flow, task
from prefect.client.orchestration import get_client

from components.errors import InfrastructureError, TowpathError
from pipelines.retraining.act import Decided, act, models_to_decide
from pipelines.retrying import TASK_OPTIONS
from pipelines.schedules.presence import note_process


@task(name="decide", task_run_name="{model}", **TASK_OPTIONS)
def _act(model: str) -> Decided:
    with get_client(sync_client=True) as client:
        try:
            return act(client, model, Path())
        except httpx.HTTPError as error:
            raise InfrastructureError(
                f"Prefect does not answer as it should: {error or type(error).__name__}"
            ) from error


@flow(name="retraining", timeout_seconds=600, persist_result=False, on_running=[note_process])
def scheduled_retraining(models: tuple[str, ...] = ()) -> tuple[Decided, ...]:
    """Decide for every model for which retraining is on; one that fails keeps no other from its decision.

    Args:
        models: Only these; empty for all.

    Raises:
        UnknownNameError: one of them is not configured.
        InfrastructureError: something could not be decided; the others were.
    """
    decided: list[Decided] = []
    failed: list[str] = []
    for model in models_to_decide(Path(), tuple(models)):
        try:
            decided.append(_act(model))
        except TowpathError as error:
            failed.append(f"{model}: {error}")
    if failed:
        raise InfrastructureError("; ".join(failed))
    return tuple(decided)
