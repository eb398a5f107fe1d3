"""A person's word on the step that waits. The ledger's row is the truth; forms and commands only carry it there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from components.errors import ConflictError, GateRefusedError
from components.release.machine import next_target
from components.release.records import Approval, Decision, RecordedVersion, Slot
from components.release.states import on_its_way
from pipelines.release.actors import Actor
from pipelines.release.environment_config import Right
from pipelines.release.environments import EnvironmentConfig
from pipelines.release.observe import stored_plan


@dataclass(frozen=True)
class Waiting:
    """The step of a rollout that a person may speak about."""

    model: str
    env: str
    version: int
    artifact_digest: str
    target: str
    rev: int
    author: str
    needed: int
    """Approvals that the step needs."""
    given: tuple[Approval, ...]
    expire_s: float


def waiting(env: EnvironmentConfig, model: str) -> Waiting:
    """Return the step that a person may speak about now.

    Raises:
        ConflictError: nothing is on its way.
        InfrastructureError: the ledger cannot be reached.
    """
    ledger = env.ledger()
    slot = ledger.slot(model, env.name)
    number = on_its_way(slot)
    if number is None:
        raise ConflictError(f"nothing of {model} is on its way in {env.name.value}, so there is nothing to approve")
    version = ledger.version(model, number)
    _, plan = stored_plan(env, slot, number)
    target = next_target(plan, slot)
    needed = plan.approvals.stable if target == "stable" else 0
    given = tuple(each for each in ledger.approvals(model, env.name) if _is_about(each, slot, version, target))
    return Waiting(
        model,
        env.name.value,
        number,
        version.digest,
        target,
        slot.rev,
        version.author,
        needed,
        given,
        plan.approvals.expire_s,
    )


def speak(
    env: EnvironmentConfig, model: str, actor: Actor, decision: Decision, reason: str, rev: int | None
) -> Approval:
    """Store a person's word on the step that waits.

    Args:
        env: The environment.
        model: The model.
        actor: Who speaks, as the environment's tokens know them.
        decision: Approve or reject.
        reason: Why, for the record.
        rev: The revision that the person looked at; None takes the present one.

    Raises:
        GateRefusedError: the actor is the version's author, or may not approve here.
        ConflictError: nothing waits, the slot moved on, or the actor said something else already.
        InfrastructureError: the ledger cannot be reached.
    """
    step = waiting(env, model)
    if rev is not None and rev != step.rev:
        raise ConflictError(
            f"{model} in {step.env} is at revision {step.rev}, the {decision.value} is for {rev}: "
            "it moved on since you looked; look again and decide anew"
        )
    actor.require(Right.APPROVE)
    if actor.name == step.author and decision is Decision.APPROVE:
        raise GateRefusedError(
            f"{actor.name} is the author of version {step.version} of {model} and may not approve it; ask somebody else"
        )
    now = datetime.now(UTC)
    approval = Approval(
        model=model,
        env=env.name,
        version=step.version,
        artifact_digest=step.artifact_digest,
        target=step.target,
        rev=step.rev,
        actor=actor.name,
        decision=decision,
        reason=reason,
        at=now.isoformat(timespec="microseconds"),
        expires_at=(now + timedelta(seconds=step.expire_s)).isoformat(timespec="microseconds"),
    )
    env.ledger().add_approval(approval)
    return approval


def _is_about(approval: Approval, slot: Slot, version: RecordedVersion, target: str) -> bool:
    return (approval.rev, approval.target, approval.artifact_digest) == (slot.rev, target, version.digest)
