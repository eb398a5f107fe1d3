"""Connections to the ledger's database, and its errors as sentences. Knows no table.

SQLite runs in WAL with ``synchronous=FULL`` and takes its write lock at the start of a transaction, so that two writers
wait for each other instead of failing; PostgreSQL runs as it is. Connections are not pooled: a process may fork.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from components.errors import ConfigError, FaultError, InfrastructureError, MissingExtraError

_WRITES = "towpath_writes"
_NOTICE_DEAD_PEER = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""So that a wait for a machine that is gone ends after some 20 s (the last is in ms): the driver waits where no signal
reaches it, and TCP by itself would for up to two hours. https://www.postgresql.org/docs/current/libpq-connect.html"""


class Database:
    """A database that holds a ledger."""

    def __init__(self, url: str, lock_wait_s: float) -> None:
        """Remember where it is; nothing is opened yet.

        Raises:
            ConfigError: the URL is none, or of a database that cannot hold a ledger.
            MissingExtraError: its driver is not installed.
        """
        self.lock_wait_s = lock_wait_s
        self.engine = _engine(_parsed(url), lock_wait_s)
        self.name = self.engine.url.render_as_string(hide_password=True)

    @property
    def sqlite_path(self) -> Path | None:
        """The file, or None where it is no file."""
        url = self.engine.url
        return Path(url.database or "") if url.get_backend_name() == "sqlite" else None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection on which one consistent state is read.

        Raises:
            InfrastructureError: the database cannot be reached or is locked.
            FaultError: it answers, but not as a ledger would.
        """
        with self._translated(), self.engine.connect() as connection:
            if self.sqlite_path is None:  # where every statement would see a state of its own
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection inside one write transaction; it commits when the block ends without an error.

        Raises:
            InfrastructureError: the database cannot be reached, is locked for too long, or could not commit.
            FaultError: it answers, but not as a ledger would.
        """
        with self._translated(), self.engine.connect() as connection:
            connection.execution_options(**{_WRITES: True})
            with connection.begin():
                yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OperationalError as error:
            words = " ".join(str(error.orig).split())
            if "locked" in words or "lock timeout" in words:
                raise InfrastructureError(
                    f"the ledger {self.name} has been locked by another process for more than {self.lock_wait_s:g} s; "
                    "nothing was changed: find the process that holds it, or try again"
                ) from error
            raise InfrastructureError(
                f"the ledger {self.name} cannot be used ({words[:200]}); the transition was not acknowledged: try again"
            ) from error
        except DBAPIError as error:
            words = " ".join(str(error.orig).split())
            kind = InfrastructureError if error.connection_invalidated else FaultError
            raise kind(f"the ledger {self.name} refused: {words[:200]}; restore it from a backup") from error
        except SQLAlchemyError as error:
            raise FaultError(f"the ledger {self.name}: {' '.join(str(error).split())[:200]}") from error


def insert_missing(connection: Connection, table: sqlalchemy.Table, **values: object) -> bool:
    """Insert a row unless one with its primary key, or another unique one, is there; return whether it was inserted."""
    from sqlalchemy.dialects import postgresql, sqlite

    insert: Any = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    result = connection.execute(insert(table).values(**values).on_conflict_do_nothing())
    return bool(result.rowcount)


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigError("the ledger's URL cannot be read; expected sqlite:///<path> or postgresql://…") from error
    backend = parsed.get_backend_name()
    if backend not in {"sqlite", "postgresql"}:
        raise ConfigError(f"a ledger cannot be kept in {backend}; expected sqlite:///<path> or postgresql://…")
    if backend == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise ConfigError("a ledger in memory would be forgotten; expected sqlite:///<path>")
    return parsed


def _engine(url: URL, lock_wait_s: float) -> Engine:
    if url.get_backend_name() == "sqlite":
        engine = sqlalchemy.create_engine(url, poolclass=NullPool, connect_args={"timeout": lock_wait_s})
        event.listen(engine, "connect", _on_sqlite_connect)
        event.listen(engine, "begin", _on_sqlite_begin)
        return engine
    options: dict[str, object] = {"connect_timeout": 10, "options": f"-c lock_timeout={int(lock_wait_s * 1000)}"}
    options |= {name: value for name, value in _NOTICE_DEAD_PEER.items() if name not in url.query}
    try:
        return sqlalchemy.create_engine(url, poolclass=NullPool, connect_args=options)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        lacking = f"a ledger in {url.get_backend_name()} needs its driver ({error})"
        raise MissingExtraError.of(lacking, "postgresql") from error


def _on_sqlite_connect(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver must not begin transactions of its own
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _on_sqlite_begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
