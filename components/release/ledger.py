"""The release ledger: which version of a model stands where, and who let it. Knows nothing of MLflow or of traffic.

A transition is one database transaction: the slot moves on only if it is still at the revision on which the proposal
rests, and its event is chained to the one before. That commit *is* the transition; all else follows from it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.engine import Connection

from components.errors import ConflictError, GateRefusedError, StaleRevisionError, UnknownNameError
from components.release import chain, tables
from components.release.database import Database, insert_missing
from components.release.records import (
    NO_HASH,
    Event,
    Head,
    Placement,
    RecordedVersion,
    Slot,
    Transition,
    Verification,
    VersionState,
)
from components.release.schema import ensure_schema
from components.types.record import canonical_json, load
from components.types.release import Environment


class Ledger:
    """A ledger behind a database URL; opened anew for each call, so it may be used after a fork and from threads."""

    def __init__(self, url: str, *, lock_wait_s: float = 30.0) -> None:
        """Remember where it is; its tables are made or checked at the first call.

        Args:
            url: ``sqlite:///<path>`` or ``postgresql://…``.
            lock_wait_s: How long to wait for another writer before giving up.

        Raises:
            ConfigError: the URL is none, or of a database that cannot hold a ledger.
            MissingExtraError: its driver is not installed.
        """
        self._database = Database(url, lock_wait_s)
        self._checked = False

    def record_version(self, version: RecordedVersion) -> RecordedVersion:
        """Record a registered version; recording it again changes nothing.

        Raises:
            ConflictError: the same number is there with other bytes or other data.
            InfrastructureError: the ledger cannot be reached or is locked.
        """
        with self._ready().writing() as connection:
            insert_missing(connection, tables.version, **asdict(version))
            stored = _version(connection, version.model, version.version)
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
            InfrastructureError: the ledger cannot be reached or is locked.
        """
        with self._ready().reading() as connection:
            return _version(connection, model, version)

    def versions(self, model: str) -> tuple[RecordedVersion, ...]:
        """Return all recorded versions of a model, oldest first.

        Raises:
            InfrastructureError: the ledger cannot be reached or is locked.
        """
        table = tables.version
        with self._ready().reading() as connection:
            rows = connection.execute(select(table).where(table.c.model == model).order_by(table.c.version)).all()
        return tuple(_to_version(row) for row in rows)

    def slot(self, model: str, env: Environment) -> Slot:
        """Return what stands in an environment; revision 0 where nothing ever did.

        Raises:
            InfrastructureError: the ledger cannot be reached or is locked.
        """
        with self._ready().reading() as connection:
            return _slot(connection, model, env)

    def slots(self) -> tuple[Slot, ...]:
        """Return every slot, by model and environment.

        Raises:
            InfrastructureError: the ledger cannot be reached or is locked.
        """
        table = tables.slot
        with self._ready().reading() as connection:
            rows = connection.execute(select(table).order_by(table.c.model, table.c.env)).all()
        return tuple(_to_slot(row) for row in rows)

    def events(self, model: str, env: Environment, *, after_rev: int = 0) -> tuple[Event, ...]:
        """Return a slot's events in order of revision.

        Raises:
            InfrastructureError: the ledger cannot be reached or is locked.
        """
        with self._ready().reading() as connection:
            return _events(connection, model, env, after_rev)

    def commit(self, transition: Transition) -> Slot:
        """Make a transition in one transaction; a transition that was made already gives the same answer again.

        Raises:
            StaleRevisionError: the slot moved on since it was read.
            ConflictError: the same operation was made with other digests.
            UnknownNameError: a version that was never recorded is named.
            GateRefusedError: evidence is missing or of another artifact, or the version is rejected or quarantined.
            InfrastructureError: the ledger cannot be reached, is locked, or could not commit.
        """
        with self._ready().writing() as connection:
            if not _swap(connection, transition):
                return _answer_of_before(connection, transition)
            _guard(connection, transition)
            event = _append(connection, transition)
        return Slot(model=transition.model, env=transition.env, rev=event.rev, **asdict(transition.to))

    def verify(self, model: str, env: Environment, anchor: Head | None = None) -> Verification:
        """Check a slot's chain of events against itself, the slot, and a head that was kept elsewhere.

        Raises:
            InfrastructureError: the ledger cannot be reached or is locked.
        """
        with self._ready().reading() as connection:
            return chain.verify(_slot(connection, model, env), _events(connection, model, env, 0), anchor)

    def _ready(self) -> Database:
        if not self._checked:
            ensure_schema(self._database)
            self._checked = True
        return self._database


def _swap(connection: Connection, transition: Transition) -> bool:
    """Move the slot on if it is still where the proposal found it; take its lock in any case where it is."""
    table = tables.slot
    key = {"model": transition.model, "env": transition.env.value}
    if transition.expected_rev == 0:
        insert_missing(connection, table, **key, rev=0, **asdict(Placement()))
    result = connection.execute(
        update(table)
        .where(table.c.model == key["model"], table.c.env == key["env"], table.c.rev == transition.expected_rev)
        .values(rev=transition.expected_rev + 1, **asdict(transition.to))
    )
    return result.rowcount == 1


def _answer_of_before(connection: Connection, transition: Transition) -> Slot:
    """Return what this very operation led to, if it was made already."""
    table = tables.event
    row = connection.execute(select(table).where(table.c.op_id == transition.op_id)).one_or_none()
    if row is None:
        there = _slot(connection, transition.model, transition.env)
        raise StaleRevisionError(
            f"{transition.model} in {transition.env} is at revision {there.rev}, the proposal rests on "
            f"{transition.expected_rev}: somebody else was faster and nothing was changed; look again and decide anew"
        )
    made = _to_event(row)
    if (made.to_slot, made.artifact_digest) != (canonical_json(transition.to), transition.digests.artifact):
        raise ConflictError(
            f"version {transition.version} of {transition.model} was moved to {transition.target} from revision "
            f"{transition.expected_rev} already, with other bytes or another placement; nothing was changed"
        )
    placement = load(Placement, json.loads(made.to_slot))
    return Slot(model=made.model, env=made.env, rev=made.rev, **asdict(placement))


def _guard(connection: Connection, transition: Transition) -> None:
    for name, digest in asdict(transition.digests).items():
        if not digest:
            raise GateRefusedError(f"evidence is missing: the {name} digest of this transition is empty")
    for number in {transition.version, *transition.to.versions}:
        _version(connection, transition.model, number)
    moved = _version(connection, transition.model, transition.version)
    if moved.digest != transition.digests.artifact:
        raise GateRefusedError(
            f"version {moved.version} of {moved.model} is product {moved.digest[:12]}, the evidence is of "
            f"{transition.digests.artifact[:12]}; gather the evidence on the version that is to be moved"
        )
    enters = {transition.to.stable, transition.to.canary, transition.to.shadow}
    if moved.state is not VersionState.REGISTERED and moved.version in enters:
        raise GateRefusedError(f"version {moved.version} of {moved.model} is {moved.state}; it may not be released")


def _append(connection: Connection, transition: Transition) -> Event:
    table = tables.event
    last = connection.execute(
        select(table.c.hash, table.c.to_slot)
        .where(table.c.model == transition.model, table.c.env == transition.env.value)
        .order_by(table.c.rev.desc())
        .limit(1)
    ).one_or_none()
    event = chain.sealed(
        Event(
            op_id=transition.op_id,
            model=transition.model,
            env=transition.env,
            rev=transition.expected_rev + 1,
            version=transition.version,
            target=transition.target,
            from_slot=last.to_slot if last else chain.EMPTY_PLACEMENT,
            to_slot=canonical_json(transition.to),
            **{f"{name}_digest": digest for name, digest in asdict(transition.digests).items()},
            actor=transition.actor,
            reason=transition.reason,
            time=datetime.now(UTC).isoformat(timespec="microseconds"),
            prev_hash=last.hash if last else NO_HASH,
            hash="",
        )
    )
    connection.execute(table.insert().values(**asdict(event)))
    return event


def _version(connection: Connection, model: str, version: int) -> RecordedVersion:
    table = tables.version
    row = connection.execute(select(table).where(table.c.model == model, table.c.version == version)).one_or_none()
    if row is None:
        known = connection.scalars(select(table.c.version).where(table.c.model == model).order_by(table.c.version))
        there = ", ".join(str(number) for number in known) or "none"
        raise UnknownNameError(f"the ledger knows no version {version} of {model}; recorded are: {there}")
    return _to_version(row)


def _slot(connection: Connection, model: str, env: Environment) -> Slot:
    table = tables.slot
    row = connection.execute(select(table).where(table.c.model == model, table.c.env == env.value)).one_or_none()
    return _to_slot(row) if row is not None else Slot(model=model, env=env, rev=0)


def _events(connection: Connection, model: str, env: Environment, after_rev: int) -> tuple[Event, ...]:
    table = tables.event
    rows: Iterable[Row[Any]] = connection.execute(
        select(table)
        .where(table.c.model == model, table.c.env == env.value, table.c.rev > after_rev)
        .order_by(table.c.rev)
    )
    return tuple(_to_event(row) for row in rows)


def _to_version(row: Row[Any]) -> RecordedVersion:
    values = row._asdict()
    return RecordedVersion(**{**values, "state": VersionState(values["state"])})


def _to_slot(row: Row[Any]) -> Slot:
    values = row._asdict()
    return Slot(**{**values, "env": Environment(values["env"])})


def _to_event(row: Row[Any]) -> Event:
    values = row._asdict()
    return Event(**{**values, "env": Environment(values["env"])})
