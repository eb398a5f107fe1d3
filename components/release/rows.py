"""The ledger's rows as records: versions, slots and events, read over an open connection. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Row, select, union
from sqlalchemy.engine import Connection

from components.errors import UnknownNameError
from components.release import tables
from components.release.records import Event, RecordedVersion, Slot, VersionState
from components.types.release import Environment

STATES = tuple(state.value for state in VersionState if state is not VersionState.REGISTERED)
"""The targets of those events that change what a version is everywhere."""


def version_of(connection: Connection, model: str, version: int) -> RecordedVersion:
    """Return a recorded version.

    Raises:
        UnknownNameError: it was never recorded.
    """
    table = tables.version
    row = connection.execute(select(table).where(table.c.model == model, table.c.version == version)).one_or_none()
    if row is None:
        raise _unknown(connection, model, version)
    return _to_version(row)


def versions_of(connection: Connection, model: str) -> tuple[RecordedVersion, ...]:
    """Return all recorded versions of a model, oldest first."""
    table = tables.version
    rows = connection.execute(select(table).where(table.c.model == model).order_by(table.c.version))
    return tuple(_to_version(row) for row in rows)


def held_versions(
    connection: Connection, model: str, versions: Iterable[int], *, to_change: bool
) -> dict[int, RecordedVersion]:
    """Return versions by number, so that nobody else changes them before this transaction ends.

    Args:
        connection: In a write transaction.
        model: Their model.
        versions: Their numbers; always locked in ascending order, so that two transactions cannot wait for each other.
        to_change: Whether this transaction will change one of them.

    Raises:
        UnknownNameError: one of them was never recorded.
    """
    table = tables.version
    named = sorted(set(versions))
    rows = connection.execute(
        select(table)
        .where(table.c.model == model, table.c.version.in_(named))
        .order_by(table.c.version)
        .with_for_update(read=not to_change)
    )
    found = {row.version: _to_version(row) for row in rows}
    for version in named:
        if version not in found:
            raise _unknown(connection, model, version)
    return found


def slot_of(connection: Connection, model: str, env: Environment, *, held: bool = False) -> Slot:
    """Return a slot, at revision 0 where nothing ever stood; `held` keeps other writers away from its row."""
    table = tables.slot
    query = select(table).where(table.c.model == model, table.c.env == env.value)
    row = connection.execute(query.with_for_update() if held else query).one_or_none()
    return _to_slot(row) if row is not None else Slot(model=model, env=env, rev=0)


def slots_of(connection: Connection) -> tuple[Slot, ...]:
    """Return every slot, by model and environment."""
    table = tables.slot
    return tuple(_to_slot(row) for row in connection.execute(select(table).order_by(table.c.model, table.c.env)))


def chains_of(connection: Connection) -> tuple[tuple[str, Environment], ...]:
    """Return every model and environment of which there is a slot or an event."""
    slot, event = tables.slot.c, tables.event.c
    pairs = union(select(slot.model, slot.env), select(event.model, event.env))
    return tuple(sorted((row.model, Environment(row.env)) for row in connection.execute(pairs)))


def events_of(connection: Connection, model: str, env: Environment, after_rev: int = 0) -> tuple[Event, ...]:
    """Return a slot's events in order of revision."""
    table = tables.event
    query = select(table).where(table.c.model == model, table.c.env == env.value, table.c.rev > after_rev)
    return tuple(_to_event(row) for row in connection.execute(query.order_by(table.c.rev)))


def newest_event(connection: Connection, model: str, env: Environment) -> Event | None:
    """Return a slot's newest event."""
    table = tables.event
    query = select(table).where(table.c.model == model, table.c.env == env.value)
    row = connection.execute(query.order_by(table.c.rev.desc()).limit(1)).one_or_none()
    return None if row is None else _to_event(row)


def event_named(connection: Connection, op_id: str) -> Event | None:
    """Return the event that an operation led to."""
    row = connection.execute(select(tables.event).where(tables.event.c.op_id == op_id)).one_or_none()
    return None if row is None else _to_event(row)


def state_events_of(connection: Connection, model: str) -> tuple[Event, ...]:
    """Return the events, of every environment, that changed what a version of the model is everywhere."""
    table = tables.event
    rows: Sequence[Row[Any]] = connection.execute(
        select(table).where(table.c.model == model, table.c.target.in_(STATES)).order_by(table.c.env, table.c.rev)
    ).all()
    return tuple(_to_event(row) for row in rows)


def _unknown(connection: Connection, model: str, version: int) -> UnknownNameError:
    there = ", ".join(str(each.version) for each in versions_of(connection, model)) or "none"
    return UnknownNameError(f"the ledger knows no version {version} of {model}; recorded are: {there}")


def _to_version(row: Row[Any]) -> RecordedVersion:
    values = row._asdict()
    return RecordedVersion(**{**values, "state": VersionState(values["state"])})


def _to_slot(row: Row[Any]) -> Slot:
    values = row._asdict()
    return Slot(**{**values, "env": Environment(values["env"])})


def _to_event(row: Row[Any]) -> Event:
    values = row._asdict()
    return Event(**{**values, "env": Environment(values["env"])})
