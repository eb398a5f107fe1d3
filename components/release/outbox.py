"""What must become true outside the ledger because of an event: rows written with it, applied in order afterwards.

Functions over an open connection. Knows no sink: who applies a row says whether it worked.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, and_, select, update
from sqlalchemy.engine import Connection

from components.errors import UnknownNameError
from components.release import tables
from components.release.database import insert_missing
from components.release.records import OutboxRow, Slot
from components.types.release import Environment

_ERROR_CHARACTERS = 1000


def insert(connection: Connection, slot: Slot, sinks: Sequence[str]) -> None:
    """Write a row for every sink; in the transaction of the event that led to this revision."""
    for sink in dict.fromkeys(sinks):
        insert_missing(
            connection,
            tables.outbox,
            model=slot.model,
            env=slot.env.value,
            rev=slot.rev,
            sink=sink,
            attempts=0,
            error="",
        )


def pending(connection: Connection, env: Environment) -> tuple[OutboxRow, ...]:
    """Return the rows that are to be applied, in the order in which they were committed."""
    table = tables.outbox
    columns = [column for column in table.c if column.name != "applied_at"]
    query = select(*columns).where(table.c.env == env.value, table.c.applied_at.is_(None)).order_by(table.c.id)
    return tuple(OutboxRow(**{**row._asdict(), "env": env}) for row in connection.execute(query))


def applied(connection: Connection, row: OutboxRow) -> None:
    """Mark a row as done; doing so again changes nothing.

    Raises:
        UnknownNameError: the ledger has no such row.
    """
    table = tables.outbox
    done = update(table).where(_is(row), table.c.applied_at.is_(None))
    values = {"applied_at": datetime.now(UTC).isoformat(timespec="microseconds"), "error": ""}
    if not connection.execute(done.values(attempts=table.c.attempts + 1, **values)).rowcount:
        _require(connection, row)


def failed(connection: Connection, row: OutboxRow, error: str) -> None:
    """Count an attempt that failed, and keep its error; the row stays to be applied, unless somebody else has done it.

    Raises:
        UnknownNameError: the ledger has no such row.
    """
    table = tables.outbox
    attempted = update(table).where(_is(row), table.c.applied_at.is_(None))
    values = {"error": error[:_ERROR_CHARACTERS]}
    if not connection.execute(attempted.values(attempts=table.c.attempts + 1, **values)).rowcount:
        _require(connection, row)


def _is(row: OutboxRow) -> ColumnElement[bool]:
    """Name a row by all that it is about: in a restored ledger its number may be another row's."""
    table = tables.outbox
    return and_(
        table.c.id == row.id,
        table.c.model == row.model,
        table.c.env == row.env.value,
        table.c.rev == row.rev,
        table.c.sink == row.sink,
    )


def _require(connection: Connection, row: OutboxRow) -> None:
    if connection.execute(select(tables.outbox.c.id).where(_is(row))).one_or_none() is None:
        raise UnknownNameError(
            f"the ledger has no outbox row for {row.sink} at revision {row.rev} of {row.model} in {row.env}; "
            "it was restored or edited since the row was read: read the pending rows again"
        )
