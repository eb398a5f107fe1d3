"""The local environment: no rollout, so a version that passed its gates is stable at once. Judges nothing itself.

A version that nobody asked for in person, as a retraining's, stays the challenger there until a person accepts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from components.release.ledger import Ledger
from components.release.records import Digests, Placement, Slot, Transition
from components.release.states import CANDIDATE, STABLE
from components.types.release import Environment


def make_stable_locally(
    ledger: Ledger,
    version: int,
    *,
    seen: Slot,
    digests: Digests,
    actor: str,
    reason: str,
    sinks: Sequence[str] = (),
) -> Slot:
    """Make a recorded version stable in the local environment; what was stable becomes the previous one.

    Args:
        ledger: Where it is committed.
        version: The version; one that is stable already stays, and nothing is written.
        seen: The slot as it was when its champion was compared with this version: if it moved on since, the
            comparison no longer holds.
        digests: What the decision rests on.
        actor: Who let it.
        reason: Why, for the record.
        sinks: What must follow the event outside the ledger.

    Raises:
        StaleRevisionError: the slot moved on since `seen`.
        UnknownNameError: the version was never recorded.
        GateRefusedError: evidence is missing or of another artifact, or the version is rejected or quarantined.
        InfrastructureError: the ledger cannot be reached, is locked, or could not commit.
    """
    if seen.stable == version:
        return seen
    to = Placement(stable=version, previous=seen.stable)
    return ledger.commit(_transition(seen, version, STABLE, to, digests, actor, reason), sinks=sinks)


def make_challenger_locally(
    ledger: Ledger,
    version: int,
    *,
    seen: Slot,
    digests: Digests,
    actor: str,
    reason: str,
    sinks: Sequence[str] = (),
) -> Slot:
    """Make a recorded version the challenger of the local environment: it serves nobody, and moves nothing.

    A challenger that waited there before gives way to it. Arguments and errors are those of `make_stable_locally`; a
    version that is stable or the challenger already stays what it is.

    Raises:
        StaleRevisionError: the slot moved on since `seen`.
        UnknownNameError: the version was never recorded.
        GateRefusedError: evidence is missing or of another artifact, or the version is rejected or quarantined.
        InfrastructureError: the ledger cannot be reached, is locked, or could not commit.
    """
    if version in (seen.stable, seen.candidate):
        return seen
    to = replace(seen.placement, candidate=version)
    return ledger.commit(_transition(seen, version, CANDIDATE, to, digests, actor, reason), sinks=sinks)


def _transition(
    seen: Slot, version: int, target: str, to: Placement, digests: Digests, actor: str, reason: str
) -> Transition:
    return Transition(
        model=seen.model,
        env=Environment.LOCAL,
        expected_rev=seen.rev,
        version=version,
        target=target,
        to=to,
        digests=digests,
        actor=actor,
        reason=reason,
    )
