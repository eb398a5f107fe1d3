"""The release ledger: which version of a model stands where, and who let it. Knows nothing of MLflow or of traffic.

A transition is one database transaction: the slot moves on only if it is still at the revision on which the proposal
rests, its event is chained to the one before, and what must follow outside is written to the outbox. That commit *is*
the transition; all else follows from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

from components.errors import ConflictError, GateRefusedError
from components.release import audit, chain, leases, outbox, rows, tables
from components.release.commit import commit
from components.release.database import insert_missing
from components.release.records import (
    Event,
    Export,
    Head,
    Lease,
    RecordedVersion,
    Slot,
    Transition,
    Verification,
    VersionState,
)
from components.release.rollout_records import RolloutRecords
from components.types.release import Environment


class Ledger(RolloutRecords):
    """A ledger behind a database URL; opened anew for each call, so it may be used after a fork and from threads.

    Every method may raise `InfrastructureError`: the ledger cannot be reached, is locked, or could not commit.
    """

    def record_version(self, version: RecordedVersion) -> RecordedVersion:
        """Record a registered version; recording it again changes nothing.

        Raises:
            ConflictError: the same number is there with other bytes or other data.
            GateRefusedError: it is new here, and rejected or quarantined.
        """
        with self._ready().writing() as connection:
            is_new = insert_missing(connection, tables.version, **asdict(version))
            stored = rows.version_of(connection, version.model, version.version)
            if is_new and version.state is not VersionState.REGISTERED:
                raise GateRefusedError(
                    f"version {version.version} of {version.model} is {version.state}; it may not be recorded anew"
                )
        if (stored.digest, stored.dataset_digest) != (version.digest, version.dataset_digest):
            raise ConflictError(
                f"version {version.version} of {version.model} is recorded with product {stored.digest[:12]} on data "
                f"{stored.dataset_digest[:12]}, not {version.digest[:12]} on {version.dataset_digest[:12]}; "
                "the registry does not belong to this ledger: use the one it was written with"
            )
        return stored

    def version(self, model: str, version: int) -> RecordedVersion:
        """Return a recorded version.

        Raises:
            UnknownNameError: it was never recorded.
        """
        with self._ready().reading() as connection:
            return rows.version_of(connection, model, version)

    def versions(self, model: str) -> tuple[RecordedVersion, ...]:
        """Return all recorded versions of a model, oldest first."""
        with self._ready().reading() as connection:
            return rows.versions_of(connection, model)

    def slot(self, model: str, env: Environment) -> Slot:
        """Return what stands in an environment; revision 0 where nothing ever did."""
        with self._ready().reading() as connection:
            return rows.slot_of(connection, model, env)

    def slots(self) -> tuple[Slot, ...]:
        """Return every slot, by model and environment."""
        with self._ready().reading() as connection:
            return rows.slots_of(connection)

    def chains(self) -> tuple[tuple[str, Environment], ...]:
        """Return every model and environment that is to be verified: also one whose slot was deleted."""
        with self._ready().reading() as connection:
            return rows.chains_of(connection)

    def events(self, model: str, env: Environment, *, after_rev: int = 0) -> tuple[Event, ...]:
        """Return a slot's events in order of revision."""
        with self._ready().reading() as connection:
            return rows.events_of(connection, model, env, after_rev)

    def commit(self, transition: Transition, *, sinks: Sequence[str] = (), lease: Lease | None = None) -> Slot:
        """Make a transition in one transaction; a transition that was made already gives the same answer again.

        Args:
            transition: What is proposed.
            sinks: Where it must become true outside the ledger: one outbox row each.
            lease: The committer's, if it works under one.

        Raises:
            StaleRevisionError: the slot moved on since it was read, or the lease is somebody else's by now.
            ConflictError: the same operation was made with other digests.
            UnknownNameError: a version that was never recorded is named.
            GateRefusedError: evidence is missing or of another artifact, or a version is rejected or quarantined.
            FaultError: the slot is not what its newest event left: the ledger was edited.
        """
        with self._ready().writing() as connection:
            if lease is not None:
                leases.require_current(connection, lease)
            slot, is_new = commit(connection, transition)
            if is_new:
                outbox.insert(connection, slot, sinks)
        return slot

    def replayed(self, model: str, env: Environment) -> Slot:
        """Return the slot that the events lead to; the slot's own row is not looked at.

        Raises:
            FaultError: the events do not follow one another.
        """
        return chain.replay(Slot(model=model, env=env, rev=0), self.events(model, env))

    def verify(self, model: str, env: Environment, anchor: Head | None = None) -> Verification:
        """Check a slot's chain against itself, the slot, all that its events rest on, and a head kept elsewhere."""
        with self._ready().reading() as connection:
            events = rows.events_of(connection, model, env)
            checked = chain.verify(rows.slot_of(connection, model, env), events, anchor)
            findings, unbacked = audit.audit(connection, model, env, events)
        return replace(checked, findings=checked.findings + findings, unbacked=unbacked)

    def export(self, model: str, env: Environment) -> Export:
        """Return a chain and its head, to be kept where whoever edits the ledger cannot edit it too."""
        with self._ready().reading() as connection:
            slot, events = rows.slot_of(connection, model, env), rows.events_of(connection, model, env)
        return Export(chain.verify(slot, events).head, slot, events)
