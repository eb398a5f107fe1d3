"""The kill switch of this machine: the canary gets nothing, at once. Asks no ledger, so it works while that is down."""

from __future__ import annotations

from dataclasses import dataclass

from components.errors import ConflictError, UnknownNameError
from components.stage.config import nearest
from pipelines.release.environments import EnvironmentConfig


@dataclass(frozen=True)
class Kill:
    """A canary that is to get nothing."""

    model: str
    env: str
    rev: int
    """Up to this revision; the next one that the ledger commits is served as it says."""
    canary: int
    weight: int
    changes: str
    """What it changes, in a sentence."""


def plan_kill(env: EnvironmentConfig, model: str) -> Kill:
    """Return what killing a model's canary would do, by what the gateway's snapshot says.

    Raises:
        UnknownNameError: the snapshot has no such model.
        ConflictError: the model has no canary here.
        FaultError: the snapshot is damaged.
        InfrastructureError: the disk failed.
    """
    models = env.router().read().models
    if model not in models:
        known = ", ".join(sorted(models)) or "none"
        raise UnknownNameError(
            f"the gateway of {env.name.value} serves no `{model}`{nearest(model, models)}; it serves: {known}"
        )
    split = models[model].split
    if split.canary is None:
        raise ConflictError(f"{model} has no canary in {env.name.value}; nothing was changed")
    changes = (
        f"{model} in {env.name.value}: the canary, version {split.canary}, gets nothing instead of {split.weight} %, "
        f"until the ledger moves on from revision {split.rev}"
    )
    return Kill(model, env.name.value, split.rev, split.canary, split.weight, changes)


def kill(env: EnvironmentConfig, planned: Kill) -> None:
    """Cut a canary off.

    Raises:
        InfrastructureError: the disk failed.
    """
    env.router().kill(planned.model, planned.rev)
