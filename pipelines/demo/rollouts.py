"""Bring one version through staging and production, tick until it is over, and say where it got to. Decides nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from components.errors import RefusedError
from components.release.records import Slot
from components.types.judging import JudgeReport
from pipelines.demo.samples import Sampler
from pipelines.demo.versions import MODEL, STAGING_PLAN
from pipelines.release.actors import Actor
from pipelines.release.environments import EnvironmentConfig
from pipelines.release.promote import promote
from pipelines.release.tick import Ticked, tick_all

PRODUCTION_PLAN = "demo"
_EVERY_S = 0.25
_LONGEST_S = 90.0

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """How a version fared."""

    version: int
    stable: bool
    where: str
    """The last place where it stood: ``staging``, ``shadow``, ``canary 20 %``, ``stable``."""
    why: str
    seconds: float
    """From its first request in production to the end."""
    requests: int
    """Of real users, that it answered or was shown in the shadow."""


@dataclass(frozen=True)
class Stage:
    """The environments, and who acts in them."""

    local: EnvironmentConfig
    staging: EnvironmentConfig
    production: EnvironmentConfig
    actor: Actor
    root: Path


def release(stage: Stage, version: int, tell: Tell, sampler: Sampler | None = None) -> Outcome:
    """Promote a version to staging and on to production, and tick until it is stable or thrown out."""
    try:
        into_staging(stage, version)
    except RefusedError as error:
        return Outcome(version, False, "staging", str(error), 0.0, 0)
    try:
        promote(MODEL, version, stage.production, stage.staging, PRODUCTION_PLAN, stage.actor, stage.root, _silent)
    except RefusedError as error:
        return Outcome(version, False, "production's entry gates", str(error), 0.0, 0)
    return _until_over(stage.production, version, tell, sampler)


def into_staging(stage: Stage, version: int) -> None:
    """Promote a version to staging, where it is stable once its gates pass."""
    promote(MODEL, version, stage.staging, stage.local, STAGING_PLAN, stage.actor, stage.root, _silent)
    deadline = time.monotonic() + _LONGEST_S
    while stage.staging.ledger().slot(MODEL, stage.staging.name).stable != version:
        if time.monotonic() > deadline:
            raise TimeoutError(f"version {version} is not stable in staging after {_LONGEST_S:g} s")
        tick_all(stage.staging)
        time.sleep(_EVERY_S)


def standing(slot: Slot) -> str:
    """Return where a slot's rollout is."""
    if slot.canary is not None:
        return f"canary {slot.weight} %"
    if slot.shadow is not None:
        return "shadow"
    return "candidate" if slot.candidate is not None else "stable"


def _until_over(env: EnvironmentConfig, version: int, tell: Tell, sampler: Sampler | None) -> Outcome:
    begun = time.monotonic()
    seen, requests, why = "", 0, ""
    while time.monotonic() - begun < _LONGEST_S:
        slot = env.ledger().slot(MODEL, env.name)
        where = standing(slot)
        if where != seen and where != "stable":
            tell(f"  version {version} is in {where}")
            seen = where
        if slot.stable == version:
            return Outcome(version, True, "stable", why, time.monotonic() - begun, requests)
        if where == "stable":
            return Outcome(version, False, seen, why, time.monotonic() - begun, requests)
        requests = max(requests, _shown(sampler.latest if sampler else None, version))
        why = next((_reason(each) for each in tick_all(env) if each.target), why)
        time.sleep(_EVERY_S)
    return Outcome(version, False, f"{seen}, undecided", why, time.monotonic() - begun, requests)


def _shown(report: JudgeReport | None, version: int) -> int:
    """Return how many users' requests a version has seen at its present step."""
    if report is None:
        return 0
    if report.canary is not None and report.canary.version == version:
        return report.canary.requests
    if report.shadow is not None and report.shadow.version == version:
        return report.shadow.mirrored
    return 0


def _reason(ticked: Ticked) -> str:
    return "; ".join(ticked.sentences)


def _silent(_what: str, _done: int, _total: int) -> None:
    """Hear of progress and say nothing."""
