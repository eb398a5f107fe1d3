"""Leases: the right to work alone on something for a while, with a fence against holders that come back late.

Functions over an open connection. The database's clock decides where it has one, so that the clocks of two machines
need not agree; where it has none (SQLite), all holders are on one machine.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.engine import Connection

from components.errors import AlreadyRunningError, StaleRevisionError
from components.release import tables
from components.release.database import insert_missing
from components.release.records import Lease

_NEVER = datetime.fromtimestamp(0, UTC).isoformat(timespec="microseconds")


def acquire(connection: Connection, name: str, holder: str, ttl_s: float) -> Lease:
    """Take a lease that nobody holds; its fence is higher than that of every holder before.

    Raises:
        AlreadyRunningError: somebody holds it.
    """
    table = tables.lease
    insert_missing(connection, table, name=name, holder="", fence=0, ttl_s=0.0, expires_at=_NEVER)
    row = connection.execute(select(table).where(table.c.name == name).with_for_update()).one()
    now = _now(connection)
    if datetime.fromisoformat(row.expires_at) > now:
        raise AlreadyRunningError(
            f"{name} is being worked on by {row.holder} until {row.expires_at}; nothing was changed: "
            "wait for it, or until its lease is over"
        )
    lease = Lease(name, holder, row.fence + 1, _after(now, ttl_s))
    values = {"holder": holder, "fence": lease.fence, "ttl_s": ttl_s, "expires_at": lease.expires_at}
    connection.execute(update(table).where(table.c.name == name).values(**values))
    return lease


def renew(connection: Connection, lease: Lease) -> Lease:
    """Hold a lease for as long again, counted from now.

    Raises:
        StaleRevisionError: somebody else has taken it, or it was released.
    """
    table = tables.lease
    ttl_s = require_current(connection, lease)
    renewed = Lease(lease.name, lease.holder, lease.fence, _after(_now(connection), ttl_s))
    connection.execute(update(table).where(table.c.name == lease.name).values(expires_at=renewed.expires_at))
    return renewed


def release(connection: Connection, lease: Lease) -> None:
    """Give a lease back; one that is somebody else's by now is left alone."""
    table = tables.lease
    connection.execute(
        update(table)
        .where(table.c.name == lease.name, table.c.fence == lease.fence, table.c.holder == lease.holder)
        .values(holder="", expires_at=_NEVER)
    )


def require_current(connection: Connection, lease: Lease) -> float:
    """Keep others from taking a lease until this transaction ends, and return for how long it was taken.

    A lease that is over, but that nobody else has taken, is still current: nobody else has worked since.

    Raises:
        StaleRevisionError: somebody else has taken it, or it was released.
    """
    table = tables.lease
    row = connection.execute(select(table).where(table.c.name == lease.name).with_for_update()).one_or_none()
    if row is None or (row.fence, row.holder) != (lease.fence, lease.holder):
        now_with = f"{row.holder} with fence {row.fence}" if row is not None and row.holder else "nobody"
        raise StaleRevisionError(
            f"the lease {lease.name} of {lease.holder} (fence {lease.fence}) is over, it is held by {now_with}; "
            "nothing was changed: look again and decide anew"
        )
    ttl_s: float = row.ttl_s
    return ttl_s


def _now(connection: Connection) -> datetime:
    if connection.dialect.name == "sqlite":
        return datetime.now(UTC)
    now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return now.astimezone(UTC)


def _after(now: datetime, ttl_s: float) -> str:
    return (now + timedelta(seconds=ttl_s)).isoformat(timespec="microseconds")
