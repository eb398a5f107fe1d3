"""Bring together what a rollout is judged by: stored evidence, the judge's word, approvals, health. Judges nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from components.errors import DigestMismatchError, FaultError, TowpathError, UnknownNameError
from components.release import chain
from components.release.plan import ReleasePlan
from components.release.protocol import DeploymentTarget
from components.release.records import Event, Evidence, RecordedVersion, Slot, VersionState
from components.release.rollout import RolloutEvidence
from components.release.states import on_its_way, stable_since
from components.stage.files import record_digest
from components.types.judging import Health, JudgeReport
from components.types.release import Environment, Role
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
    """Return the plan under which a version is released: the one that its rollout began with, whatever came later.

    The event with which the rollout began names it by its digest, so that neither an edited file nor a row that was
    added or changed since can take its place. The environment's plan holds where no event names one. It also holds
    where the named one cannot be found and nothing is on its way: what is stable must stay served, and a way back open.

    Raises:
        FaultError: the version is on its way, and the plan that its event names is not in the ledger as it was.
        InfrastructureError: the ledger cannot be reached.
    """
    event = None if env.name is Environment.LOCAL else _began(env.ledger().events(slot.model, env.name), version)
    if event is not None:
        for row in env.ledger().evidence(slot.model, env.name, event.version, kind=PLAN):
            if found := _read_plan(row, event.gate_config_digest):
                return found
        if on_its_way(slot) == version:
            raise FaultError(
                f"the plan {event.gate_config_digest[:12]}, under which version {version} of {slot.model} began in "
                f"{env.name.value}, is not in the ledger as it was; verify the ledger"
            )
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


def keep_observation(
    env: EnvironmentConfig,
    slot: Slot,
    version: RecordedVersion,
    seen: Observation,
    most_errors: int,
    *,
    store: bool = True,
) -> Trouble:
    """Store an observation where it changes what is known, and return what has been wrong up to now.

    Args:
        env: The environment.
        slot: What stands there.
        version: The version that is judged.
        seen: What the target said.
        most_errors: Where counting ends; so many pause, and a gateway that stays down must not fill the ledger.
        store: False only looks.

    Raises:
        InfrastructureError: the ledger cannot be reached or is locked.
    """
    before = _trouble_before(env.ledger().newest_evidence(version, env.name).get(OBSERVATION), slot.rev)
    behind = seen.served_rev is not None and seen.served_rev < slot.rev
    since = (before.behind_since or datetime.now(UTC)) if behind else None
    trouble = Trouble(min(before.errors_in_a_row + 1, most_errors) if seen.problem else 0, since)
    if store and trouble != before:
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
    ledger, now, going = env.ledger(), datetime.now(UTC), on_its_way(slot) is not None
    return RolloutEvidence(
        now=now,
        subject=version,
        step_began=datetime.fromisoformat(events[-1].time) if events else now,
        stored={kind: content_of(row) for kind, row in ledger.newest_evidence(version, env.name).items()},
        report=seen.report if seen else None,
        metric_errors=trouble.errors_in_a_row if trouble else 0,
        behind_since=trouble.behind_since if trouble else None,
        approvals=ledger.approvals(version.model, env.name),
        previous_loadable=_is_loadable(env, slot.model, slot.stable if going else slot.previous),
        older_loadable=_is_loadable(env, slot.model, slot.previous) if going else None,
        served_rev=seen.served_rev if seen else None,
        stable_health=seen.health if seen else {},
        mismatch=_mismatch(env, version),
        stable_since=stable_since(slot, events),
    )


def content_of(row: Evidence) -> dict[str, Any]:
    """Return what a piece of evidence says.

    Raises:
        FaultError: it is no JSON object: it was edited.
    """
    try:
        content = json.loads(row.content)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise FaultError(
            f"the {row.kind} evidence of version {row.version} of {row.model} in {row.env} is no JSON object: it was "
            "edited; verify the ledger"
        )
    return content


def _began(events: Sequence[Event], version: int) -> Event | None:
    """Return the event with which a version's newest rollout began; of one that had none, which made it stable."""
    made_stable = None
    for event in reversed(events):
        before, after = chain.placement_of(event.from_slot), chain.placement_of(event.to_slot)
        if on_its_way(after) == version != on_its_way(before):
            return event
        if made_stable is None and after.stable == version != before.stable:
            made_stable = event
    return made_stable


def _read_plan(row: Evidence, digest: str) -> tuple[str, ReleasePlan] | None:
    """Return a stored plan by its name if it has the digest; None where it is another one, or was damaged."""
    try:
        content = json.loads(row.content)
        if record_digest(content["plan"]) == digest:
            return str(content["name"]), ReleasePlan.model_validate(content["plan"])
    except (ValueError, KeyError, TypeError):  # pydantic's errors are ValueErrors: a plan that this Towpath cannot read
        return None
    return None


def _trouble_before(newest: Evidence | None, rev: int) -> Trouble:
    if newest is None or newest.rev != rev:
        return Trouble()
    content = content_of(newest)
    try:
        since = content["behind_since"]
        return Trouble(int(content["in_a_row"]), datetime.fromisoformat(since) if since else None)
    except (ValueError, KeyError, TypeError):  # edited: counting begins anew
        return Trouble()


def _is_loadable(env: EnvironmentConfig, model: str, number: int | None) -> bool | None:
    """Return whether a version to go back to may be released and is there intact; None where there is none."""
    if number is None:
        return None
    try:
        version = env.ledger().version(model, number)
        env.store().path(version.digest)
    except TowpathError:
        return False
    return version.state is VersionState.REGISTERED


def _mismatch(env: EnvironmentConfig, version: RecordedVersion) -> str | None:
    """Return in what way a version's stored bytes are not those that were promised; None where they are."""
    try:
        env.store().path(version.digest)
    except DigestMismatchError as error:
        return str(error)
    except UnknownNameError:  # not on this machine: the target says whether it has it
        return None
    return None
