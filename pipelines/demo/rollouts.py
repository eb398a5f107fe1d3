"""Bring one version through staging and production, tick until it is over, and say where it got to. Decides nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from components.errors import FaultError, RefusedError
from components.release.records import Slot
from pipelines.demo.versions import MODEL, STAGING_PLAN
from pipelines.release.actors import Actor
from pipelines.release.apply import is_served, served_split
from pipelines.release.environments import EnvironmentConfig
from pipelines.release.promote import promote
from pipelines.release.rounds import tick_all
from pipelines.release.tick import Ticked

PRODUCTION_PLAN = "demo"
_EVERY_S = 0.25
_LONGEST_S = 90.0
_ATTEMPTS = 3

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """How a version fared."""

    version: int
    stable: bool
    where: str
    """The last place where it stood: ``shadow``, ``canary 20 %``, ``stable``; or what kept it from there."""
    why: str
    seconds: float
    """From its first request in production to the end."""
    requests: int
    """Of users, that it answered at its last step, or was shown in the shadow."""


@dataclass(frozen=True)
class Stage:
    """The environments, and who acts in them."""

    local: EnvironmentConfig
    staging: EnvironmentConfig
    production: EnvironmentConfig
    actor: Actor
    root: Path


def release(stage: Stage, version: int, tell: Tell) -> Outcome:
    """Promote a version to staging and on to production, and tick until it is stable or thrown out."""
    try:
        _promoted(stage, version, stage.staging, stage.local, STAGING_PLAN, tell)
        _promoted(stage, version, stage.production, stage.staging, PRODUCTION_PLAN, tell)
    except RefusedError as error:
        return Outcome(version, False, "an entry gate", str(error), 0.0, 0)
    return _until_over(stage.production, version, tell)


def _promoted(
    stage: Stage, version: int, env: EnvironmentConfig, source: EnvironmentConfig, plan: str, tell: Tell
) -> None:
    """Promote a version, and in staging tick until it is stable; entry gates that measure time get another chance.

    Raises:
        RefusedError: a gate refuses it again and again.
        FaultError: it does not get stable in staging.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            promote(MODEL, version, env, source, plan, stage.actor, stage.root, _silent)
            break
        except RefusedError as error:
            if attempt == _ATTEMPTS:
                raise
            tell(f"  measured again, this machine may have been busy: {error}")
    deadline = time.monotonic() + _LONGEST_S
    while env is stage.staging and env.ledger().slot(MODEL, env.name).stable != version:
        if time.monotonic() > deadline:
            raise FaultError(f"version {version} is not stable in staging after {_LONGEST_S:g} s")
        tick_all(env)
        time.sleep(_EVERY_S)


def standing(slot: Slot) -> str:
    """Return where a slot's rollout is."""
    if slot.canary is not None:
        return f"canary {slot.weight} %"
    if slot.shadow is not None:
        return "shadow"
    return "candidate" if slot.candidate is not None else "stable"


def _until_over(env: EnvironmentConfig, version: int, tell: Tell) -> Outcome:
    begun = time.monotonic()
    seen, why = "", ""
    while time.monotonic() - begun < _LONGEST_S:
        slot = env.ledger().slot(MODEL, env.name)
        where = standing(slot)
        if where != seen and where != "stable":
            tell(f"  version {version} is in {where}")
            seen = where
        if where == "stable" and is_served(served_split(env.target(MODEL)), slot):  # what users get, not what we wrote
            ended = "stable" if slot.stable == version else seen
            shown = _shown(env, version)
            return Outcome(version, slot.stable == version, ended, why, time.monotonic() - begun, shown)
        why = next((_reason(each) for each in tick_all(env) if each.target), why)
        time.sleep(_EVERY_S)
    return Outcome(version, False, "", f"undecided after {_LONGEST_S:g} s in {seen}", _LONGEST_S, _shown(env, version))


def _shown(env: EnvironmentConfig, version: int) -> int:
    """Return how many requests a version had seen at its last step, as the last decision about it has it."""
    decisions = env.ledger().evidence(MODEL, env.name, version, kind="decision")
    observed = (json.loads(decisions[0].content)["observed"] if decisions else None) or {}
    canary, shadow = observed.get("canary") or {}, observed.get("shadow") or {}
    return int(canary.get("requests") or shadow.get("mirrored") or 0)


def _reason(ticked: Ticked) -> str:
    return "; ".join(ticked.sentences)


def _silent(_what: str, _done: int, _total: int) -> None:
    """Hear of progress and say nothing."""
