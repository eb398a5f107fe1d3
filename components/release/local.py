"""The local environment: no rollout, so a version that passed its gates is stable at once. Judges nothing itself."""

from __future__ import annotations

from collections.abc import Sequence

from components.release.ledger import Ledger
from components.release.records import Digests, Placement, Slot, Transition
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
    return ledger.commit(
        Transition(
            model=seen.model,
            env=Environment.LOCAL,
            expected_rev=seen.rev,
            version=version,
            target="stable",
            to=Placement(stable=version, previous=seen.stable),
            digests=digests,
            actor=actor,
            reason=reason,
        ),
        sinks=sinks,
    )
