"""The kill switch of this machine: the canary gets nothing, at once. Asks no ledger, so it works while that is down."""

from __future__ import annotations

from dataclasses import dataclass

from components.errors import ConflictError, FaultError, UnknownNameError
from components.stage.config import nearest
from components.types.kill_switch import EVERY_REV
from pipelines.release.environments import EnvironmentConfig


@dataclass(frozen=True)
class Kill:
    """A canary that is to get nothing."""

    model: str
    env: str
    rev: int
    """Up to this revision, whichever version is the canary."""
    canary: int | None
    """At every revision; None where the snapshot cannot say it, and no revision is spared."""
    weight: int | None
    changes: str
    """What it changes, in a sentence."""


def plan_kill(env: EnvironmentConfig, model: str) -> Kill:
    """Return what killing a model's canary would do, by what the gateway's snapshot says.

    A snapshot that cannot be read is no reason to leave a canary alone: then it is every version, at every revision.

    Raises:
        UnknownNameError: the snapshot has no such model.
        ConflictError: the model has no canary here.
    """
    router = env.router()
    until = f"until {router.switch(model)} is deleted and it is released anew"
    try:
        models = router.read().models
    except FaultError as error:
        changes = (
            f"{error}. So no version of {model} in {env.name.value} gets anything as a canary any more, whatever its "
            f"number and its revision, {until}"
        )
        return Kill(model, env.name.value, EVERY_REV, None, None, changes)
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
        f"at revision {split.rev} and at every later one, {until}"
    )
    return Kill(model, env.name.value, split.rev, split.canary, split.weight, changes)


def kill(env: EnvironmentConfig, planned: Kill) -> None:
    """Cut a canary off.

    Raises:
        BadInputError: the model's name cannot be one.
        InfrastructureError: the disk failed.
    """
    versions = () if planned.canary is None else (planned.canary,)
    env.router().kill(planned.model, planned.rev, versions)
