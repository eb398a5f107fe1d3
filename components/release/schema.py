"""Make sure that a ledger has today's tables. Imports Alembic only where an older ledger is found.

A fresh ledger is made from the tables directly, in milliseconds, and marked with the newest migration; a test holds
that the migrations lead to the same tables.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import sqlalchemy
from sqlalchemy import Column, String, Table, inspect, select, text
from sqlalchemy.engine import Connection

from components.errors import FaultError, InfrastructureError
from components.release.database import Database
from components.release.tables import SCHEMA_REVISION, VERSION_TABLE, metadata

MIGRATIONS = Path(__file__).parent / "migrations"
_KNOWN_REVISIONS = ("0001", SCHEMA_REVISION)
_LOCK_KEY = 7_013_118_226_003_561
"""Names the advisory lock under which PostgreSQL's tables are made."""


def ensure_schema(database: Database) -> None:
    """Make a ledger that is not there, bring an older one up to date, and leave a current one alone.

    Raises:
        FaultError: the ledger was written by a newer Towpath.
        InfrastructureError: the database or the disk failed.
    """
    path = database.sqlite_path
    if path is not None and not path.exists():
        _make_file(path, database.lock_wait_s)
    with database.reading() as connection:
        revision = stored_revision(connection)
    if revision == SCHEMA_REVISION:
        return
    if revision is not None and revision not in _KNOWN_REVISIONS:
        raise FaultError(
            f"the ledger {database.name} has schema {revision}, this Towpath knows up to {SCHEMA_REVISION}; "
            "use the newer Towpath that wrote it"
        )
    if path is not None:
        _use_wal(path, database.lock_wait_s)
    with database.writing() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        revision = stored_revision(connection)
        if revision is None:
            create_tables(connection)
        elif revision != SCHEMA_REVISION:
            upgrade(connection)


def stored_revision(connection: Connection) -> str | None:
    """Return the schema's revision, or None where there is no ledger yet."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    revision: str | None = connection.scalar(select(_version_table().c.version_num))
    return revision


def create_tables(connection: Connection) -> None:
    """Make all tables and mark them as current."""
    metadata.create_all(connection)
    versions = _version_table()
    versions.create(connection)
    connection.execute(versions.insert().values(version_num=SCHEMA_REVISION))


def upgrade(connection: Connection, to: str = "head") -> None:
    """Run the migrations that are missing, inside the transaction that is open."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def _version_table() -> Table:
    return Table(VERSION_TABLE, sqlalchemy.MetaData(), Column("version_num", String(32), primary_key=True))


def _make_file(path: Path, lock_wait_s: float) -> None:
    """Make a ledger file beside `path` and link it into place: whole or not at all, however many make it at once."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            fresh = Path(folder) / path.name
            _use_wal(fresh, lock_wait_s)
            database = Database(f"sqlite:///{fresh}", lock_wait_s)
            with database.writing() as connection:
                create_tables(connection)
            with contextlib.suppress(FileExistsError):  # somebody else was faster
                os.link(fresh, path)
    except OSError as error:
        raise InfrastructureError(f"the ledger {path} cannot be made ({error.strerror}); check the folder") from error


def _use_wal(path: Path, lock_wait_s: float) -> None:
    """Write ahead, so that readers never wait; the file remembers it. Left as it is where somebody else is at it."""
    with closing(sqlite3.connect(path, timeout=lock_wait_s)) as connection, contextlib.suppress(sqlite3.Error):
        connection.execute("PRAGMA journal_mode=WAL")
