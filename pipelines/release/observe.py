"""Bring together what a rollout is judged by: stored evidence, the judge's word, approvals, health. Judges nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from components.errors import DigestMismatchError, TowpathError, UnknownNameError
from components.release.plan import ReleasePlan
from components.release.protocol import DeploymentTarget
from components.release.records import Event, Evidence, RecordedVersion, Slot
from components.release.rollout import RolloutEvidence
from components.release.states import on_its_way, stable_since
from components.types.judging import Health, JudgeReport
from components.types.release import Role
from pipelines.release.commit import AUTOMATIC, note
from pipelines.release.environments import EnvironmentConfig

OBSERVATION, PLAN = "observation", "plan"


@dataclass(frozen=True)
class Observation:
    """What a target answered just now."""

    report: JudgeReport | None
    served_rev: int | None
    health: Mapping[float, Health]
    problem: str
    """Why it could not be asked; empty when it could."""


@dataclass(frozen=True)
class Trouble:
    """What has been wrong with the servers, from tick to tick, at one revision."""

    errors_in_a_row: int = 0
    """Observations that failed, up to now."""
    behind_since: datetime | None = None
    """Since when they report an older revision."""


def subject_of(slot: Slot) -> int | None:
    """Return the version that a slot is about: the one on its way, else the stable one."""
    on_way = on_its_way(slot)
    return slot.stable if on_way is None else on_way


def stored_plan(env: EnvironmentConfig, slot: Slot, version: int) -> tuple[str, ReleasePlan]:
    """Return the plan under which a version is released: the one it began with, whatever its file says now."""
    rows = env.ledger().evidence(slot.model, env.name, version, kind=PLAN)
    if rows:
        content = json.loads(rows[0].content)
        return content["name"], ReleasePlan.model_validate(content["plan"])
    return env.plan_name, env.plan(None)


def keep_plan(env: EnvironmentConfig, slot: Slot, version: RecordedVersion, name: str, plan: ReleasePlan) -> None:
    """Remember the plan under which a version is released.

    Raises:
        InfrastructureError: the ledger cannot be reached or is locked.
    """
    content = {"name": name, "plan": plan.model_dump(mode="json")}
    note(env, slot, version.version, version.digest, PLAN, content, AUTOMATIC)


def ask_target(target: DeploymentTarget, windows_s: Sequence[float]) -> Observation:
    """Return what the target says now; a target that cannot be asked is an observation, too."""
    try:
        served = target.traffic()
        health = {window: target.health(Role.STABLE, window) for window in windows_s}
        return Observation(target.judged(), served.rev, health, "")
    except TowpathError as error:
        return Observation(None, None, {}, str(error))


def keep_observation(env: EnvironmentConfig, slot: Slot, version: RecordedVersion, seen: Observation) -> Trouble:
    """Store an observation where it changes what is known, and return what has been wrong up to now.

    Raises:
        InfrastructureError: the ledger cannot be reached or is locked.
    """
    before = _trouble_before(env.ledger().evidence(slot.model, env.name, version.version, kind=OBSERVATION), slot.rev)
    behind = seen.served_rev is not None and seen.served_rev < slot.rev
    since = (before.behind_since or datetime.now(UTC)) if behind else None
    trouble = Trouble(before.errors_in_a_row + 1 if seen.problem else 0, since)
    if trouble != before:
        content = {"problem": seen.problem, "in_a_row": trouble.errors_in_a_row, "served_rev": seen.served_rev}
        behind_since = since.isoformat() if since else None
        note(
            env, slot, version.version, version.digest, OBSERVATION, content | {"behind_since": behind_since}, AUTOMATIC
        )
    return trouble


def rollout_evidence(
    env: EnvironmentConfig,
    slot: Slot,
    version: RecordedVersion,
    events: Sequence[Event],
    *,
    seen: Observation | None = None,
    trouble: Trouble | None = None,
) -> RolloutEvidence:
    """Return all that the state machine may look at.

    Args:
        env: The environment.
        slot: What stands there.
        version: The version that is judged.
        events: The slot's events, oldest first; the newest says when the step began.
        seen: What the target said; None leaves the report out, which lets nothing pass that needs it.
        trouble: What has been wrong with the servers up to now.

    Raises:
        InfrastructureError: the ledger cannot be reached.
    """
    ledger = env.ledger()
    now = datetime.now(UTC)
    return RolloutEvidence(
        now=now,
        subject=version,
        step_began=datetime.fromisoformat(events[-1].time) if events else now,
        stored=_newest_by_kind(ledger.evidence(version.model, env.name, version.version), version.digest),
        report=seen.report if seen else None,
        metric_errors=trouble.errors_in_a_row if trouble else 0,
        behind_since=trouble.behind_since if trouble else None,
        approvals=ledger.approvals(version.model, env.name),
        previous_loadable=_fallback_is_loadable(env, slot),
        served_rev=seen.served_rev if seen else None,
        stable_health=seen.health if seen else {},
        mismatch=_mismatch(env, version),
        stable_since=stable_since(slot, events),
    )


def _newest_by_kind(rows: Sequence[Evidence], digest: str) -> dict[str, dict[str, Any]]:
    newest: dict[str, dict[str, Any]] = {}
    for row in rows:  # newest first
        if row.artifact_digest == digest and row.kind not in newest:
            newest[row.kind] = json.loads(row.content)
    return newest


def _trouble_before(rows: Sequence[Evidence], rev: int) -> Trouble:
    if not rows or rows[0].rev != rev:
        return Trouble()
    content = json.loads(rows[0].content)
    since = content["behind_since"]
    return Trouble(content["in_a_row"], datetime.fromisoformat(since) if since else None)


def _fallback_is_loadable(env: EnvironmentConfig, slot: Slot) -> bool | None:
    """Return whether what a rollback would go back to is there with its bytes intact; None where there is none."""
    fallback = slot.previous if on_its_way(slot) is None else slot.stable
    if fallback is None:
        return None
    try:
        env.store().path(env.ledger().version(slot.model, fallback).digest)
    except TowpathError:
        return False
    return True


def _mismatch(env: EnvironmentConfig, version: RecordedVersion) -> str | None:
    """Return in what way a version's stored bytes are not those that were promised; None where they are."""
    try:
        env.store().path(version.digest)
    except DigestMismatchError as error:
        return str(error)
    except UnknownNameError:  # not on this machine: the target says whether it has it
        return None
    return None
