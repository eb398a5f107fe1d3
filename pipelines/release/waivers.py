"""A person's word that a candidate need not be compared with a champion that cannot be scored. Scores nothing.

It is evidence of the champion's in the ledger of the first environment, bound to both digests, and it expires.
"""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from components.errors import BadInputError, ConflictError, GateRefusedError
from components.evaluation.gates.evidence import UnscorableChampion, Waiver
from components.release.ledger import Ledger
from components.release.records import RecordedVersion, Slot
from components.types.record import load
from pipelines.config import load_model
from pipelines.release.actors import Actor
from pipelines.release.commit import note
from pipelines.release.environment_config import Right
from pipelines.release.environments import EnvironmentConfig
from pipelines.selection import read_evaluations

WAIVER = "waiver"
EXPIRE_S = 24 * 3600.0
_LEAST_DIGITS = 8


def champion_against(ledger: Ledger, slot: Slot, candidate_digest: str) -> RecordedVersion | None:
    """Return what a candidate is compared with: the stable version, or the one before where that is itself.

    Raises:
        InfrastructureError: the ledger cannot be reached.
    """
    for version in (slot.stable, slot.previous):
        recorded = ledger.version(slot.model, version) if version is not None else None
        if recorded is not None and recorded.digest != candidate_digest:
            return recorded
    return None


def propose(env: EnvironmentConfig, model: str, candidate: str, reason: str, actor: Actor, root: Path) -> Waiver:
    """Return the waiver that would be stored; nothing is.

    Args:
        env: The first environment, where candidates are compared.
        model: The model.
        candidate: How the candidate product's digest begins.
        reason: Why, for the record.
        actor: Who speaks.
        root: The project.

    Raises:
        BadInputError: there is no reason, or no single candidate of that digest.
        ConflictError: no champion stands there.
        GateRefusedError: the actor may not approve there.
        InfrastructureError: the ledger cannot be reached.
    """
    actor.require(Right.APPROVE)
    if not reason.strip():
        raise BadInputError("a waiver needs a reason, which is kept in the ledger; give it by --reason")
    digest = _whole_digest(model, candidate, root)
    ledger = env.ledger()
    champion = champion_against(ledger, ledger.slot(model, env.name), digest)
    if champion is None:
        raise ConflictError(f"{model} has no champion in {env.name.value} yet, so there is nothing to waive")
    now = datetime.now(UTC)
    return Waiver(
        champion_digest=champion.digest,
        candidate_digest=digest,
        actor=actor.name,
        reason=reason.strip(),
        at=now.isoformat(timespec="microseconds"),
        expires_at=(now + timedelta(seconds=EXPIRE_S)).isoformat(timespec="microseconds"),
    )


def waive(env: EnvironmentConfig, model: str, waiver: Waiver) -> None:
    """Store a waiver.

    Raises:
        ConflictError: another champion stands there since it was proposed.
        InfrastructureError: the ledger cannot be reached or is locked.
    """
    ledger = env.ledger()
    slot = ledger.slot(model, env.name)
    champion = champion_against(ledger, slot, waiver.candidate_digest)
    if champion is None or champion.digest != waiver.champion_digest:
        raise ConflictError(f"another version of {model} became stable in {env.name.value} meanwhile; look again")
    note(env, slot, champion.version, champion.digest, WAIVER, waiver, waiver.actor)


def with_waiver(
    env: EnvironmentConfig, champion: RecordedVersion, found: UnscorableChampion, candidate_digest: str, author: str
) -> UnscorableChampion:
    """Return what was found, with the newest waiver in force for these two digests where somebody gave one.

    Where the environment has actors, the candidate's author cannot give it.

    Raises:
        InfrastructureError: the ledger cannot be reached.
    """
    now = datetime.now(UTC)
    reason = found.reason
    for stored in env.ledger().evidence(champion.model, env.name, champion.version, kind=WAIVER):
        waiver = load(Waiver, json.loads(stored.content))
        asked, held = (champion.digest, candidate_digest), (waiver.champion_digest, waiver.candidate_digest)
        if held != asked or datetime.fromisoformat(waiver.expires_at) <= now:
            continue
        if env.section.actors and waiver.actor == author:
            reason = f"{found.reason} (a waiver by {author} does not count, who is the candidate's author)"
            continue
        return UnscorableChampion(champion.digest, found.reason, waiver)
    return UnscorableChampion(champion.digest, reason)


def _whole_digest(model: str, candidate: str, root: Path) -> str:
    config = load_model(model, root)
    if len(candidate) < _LEAST_DIGITS:
        raise BadInputError(f"candidate {candidate!r} has under {_LEAST_DIGITS} digits; the refusal names its digest")
    known: dict[str, str] = {}
    for training in config.trainings:
        with contextlib.suppress(GateRefusedError):  # not every training of the configuration was run
            known |= {each.product_digest: training for each in read_evaluations(model, (training,), root)}
    found = [digest for digest in known if digest.startswith(candidate)]
    if len(found) != 1:
        there = ", ".join(f"{digest[:12]} ({training})" for digest, training in known.items()) or "none"
        raise BadInputError(f"{candidate} is no candidate of {model}; there are: {there}")
    return found[0]
