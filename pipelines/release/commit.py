"""One transition, written down with what it rests on: a decision, its digests, one commit. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from components.errors import GateRefusedError
from components.release.records import Approval, Digests, Evidence, Lease, Placement, Slot, Transition, VersionState
from components.types.evaluation import Verdict
from components.types.record import canonical_json
from pipelines.release.environments import EnvironmentConfig
from pipelines.release.lineage import code_and_lock
from pipelines.release.sinks import sinks_of

AUTOMATIC = "towpath"
"""Who acts when nobody does: the tick."""


@dataclass(frozen=True, kw_only=True)
class Move:
    """What is to be committed."""

    version: int
    target: str
    to: Placement
    actor: str
    reason: str
    plan_digest: str
    verdicts: tuple[Verdict, ...] = ()
    approvals: tuple[Approval, ...] = ()
    observed: Mapping[str, Any] | None = None
    """What the judge knew when it was decided."""
    version_state: VersionState | None = None


def commit(env: EnvironmentConfig, slot: Slot, move: Move, lease: Lease | None = None) -> Slot:
    """Commit a move from `slot` together with the decision that it rests on.

    Raises:
        StaleRevisionError: the slot moved on since it was read, or the lease is somebody else's by now.
        GateRefusedError: a verdict refuses, evidence is missing, or the version may not be released.
        ConflictError: the same operation was made with other bytes.
        InfrastructureError: the ledger cannot be reached, is locked, or could not commit.
    """
    if refused := [verdict for verdict in move.verdicts if not verdict.passed]:
        raise GateRefusedError(refusal(slot.model, move.version, env.name.value, refused))
    ledger = env.ledger()
    version = ledger.version(slot.model, move.version)
    stored = ledger.evidence(slot.model, env.name, move.version)
    decision = note(
        env,
        slot,
        move.version,
        version.digest,
        "decision",
        {
            "target": move.target,
            "version": version,
            "verdicts": move.verdicts,
            "evidence": sorted({each.digest for each in stored if each.kind not in UNBOUND}),
            "approvals": move.approvals,
            "observed": move.observed,
        },
        move.actor,
    )
    code, lock = code_and_lock(env, version)
    digests = Digests(
        artifact=version.digest,
        data=version.dataset_digest,
        code=code,
        lock=lock,
        gate_config=move.plan_digest,
        evidence=decision.digest,
    )
    transition = Transition(
        model=slot.model,
        env=env.name,
        expected_rev=slot.rev,
        version=move.version,
        target=move.target,
        to=move.to,
        digests=digests,
        actor=move.actor,
        reason=move.reason,
        version_state=move.version_state,
    )
    return ledger.commit(transition, sinks=sinks_of(env), lease=lease)


UNBOUND = frozenset({"decision", "observation"})
"""Kinds that a decision does not name: its own, and the many that only tell how things went."""


def note(
    env: EnvironmentConfig, slot: Slot, version: int, digest: str, kind: str, content: Any, actor: str
) -> Evidence:
    """Store a piece of evidence about a version's bytes, and return it.

    Raises:
        InfrastructureError: the ledger cannot be reached or is locked.
    """
    evidence = Evidence(
        model=slot.model,
        env=env.name,
        version=version,
        artifact_digest=digest,
        kind=kind,
        rev=slot.rev,
        content=canonical_json(content),
        gathered_at=datetime.now(UTC).isoformat(timespec="microseconds"),
        gathered_by=actor,
    )
    env.ledger().add_evidence(evidence)
    return evidence


def refusal(model: str, version: int, where: str, refused: Sequence[Verdict]) -> str:
    """Return the sentence that names every gate that refused, and why."""
    reasons = "; ".join(f"{verdict.gate}: {' '.join(verdict.reasons)}" for verdict in refused)
    return (
        f"version {version} of {model} is refused for {where} by {len(refused)} "
        f"gate{'s' if len(refused) > 1 else ''}, nothing was moved: {reasons}"
    )
