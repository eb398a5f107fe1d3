"""The ledger's schema: made at once, the same as by its migrations, and checked without Alembic."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from components.errors import ConfigError, FaultError, InfrastructureError
from components.release import schema
from components.release.database import Database
from components.release.ledger import Ledger
from components.release.peek import peek
from components.release.records import Digests, Placement, Slot, Transition
from components.release.tables import SCHEMA_REVISION, VERSION_TABLE, metadata
from components.types.release import Environment

LOCAL = Environment.LOCAL


def described(connection: sqlalchemy.Connection) -> dict[str, Any]:
    """Return all that a database says of its tables, in an order of its own."""
    inspector = sqlalchemy.inspect(connection)
    return {
        table: (
            sorted(
                (column["name"], str(column["type"]), column["nullable"]) for column in inspector.get_columns(table)
            ),
            inspector.get_pk_constraint(table)["constrained_columns"],
            sorted(str(sorted(each.items(), key=str)) for each in inspector.get_foreign_keys(table)),
            sorted(str(each["column_names"]) for each in inspector.get_unique_constraints(table)),
            sorted(each["sqltext"] for each in inspector.get_check_constraints(table)),
        )
        for table in inspector.get_table_names()
        if table != VERSION_TABLE
    }


def test_the_migrations_lead_to_the_tables_that_are_made_at_once(postgresql_url: str, tmp_path: Path) -> None:
    for name, url in (("sqlite", f"sqlite:///{tmp_path}/migrated.db"), ("postgresql", postgresql_url)):
        database = Database(url, 5)
        with database.writing() as connection:
            schema.upgrade(connection)
        with database.writing() as connection:
            assert schema.stored_revision(connection) == SCHEMA_REVISION
            ours = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
            assert compare_metadata(ours, metadata) == [], name
            migrated = described(connection)
            metadata.drop_all(connection)
            metadata.create_all(connection)
            assert described(connection) == migrated, name


@pytest.fixture
def old_url(ledger_url: str) -> str:
    """Return a ledger at revision 0001, with the very rows that the Towpath of that time wrote."""
    database = Database(ledger_url, 5)
    if database.sqlite_path is not None:
        database.sqlite_path.parent.mkdir()
    rows = json.loads((Path(__file__).parent / "ledger_0001.json").read_text())
    with database.writing() as connection:
        schema.upgrade(connection, "0001")
        tables = sqlalchemy.MetaData()
        tables.reflect(connection)
        for name in ("version", "slot", "event"):
            connection.execute(tables.tables[name].insert(), rows[name])
    return ledger_url


def promotion(seen: Slot, number: int) -> Transition:
    digests = Digests(f"{number:064x}", "d" * 64, "0c0ffee", "1" * 64, "2" * 64, "3" * 64)
    to = Placement(stable=number, previous=seen.stable)
    return Transition("taxi", seen.env, seen.rev, number, "stable", to, digests, "ada", "the gates passed")


def test_an_older_ledger_is_migrated_with_its_events_and_verifies(old_url: str) -> None:
    ledger = Ledger(old_url)
    slot = ledger.slot("taxi", LOCAL)
    assert slot == Slot(model="taxi", env=LOCAL, rev=3, stable=3, previous=2) == ledger.replayed("taxi", LOCAL)
    assert ledger.verify("taxi", LOCAL).findings == ()
    assert "candidate" not in ledger.events("taxi", LOCAL)[0].to_slot, "stored texts stay as they were hashed"
    with Database(old_url, 5).reading() as connection:
        assert schema.stored_revision(connection) == SCHEMA_REVISION
        migrated = described(connection)
        foreign_keys = sqlalchemy.inspect(connection).get_foreign_keys("slot")
    with Database(old_url, 5).writing() as connection:
        metadata.drop_all(connection)
        metadata.create_all(connection)
        assert described(connection) == migrated
    assert len(migrated["slot"][4]) == 1, "its check was not lost when the table was made anew"
    assert len(foreign_keys) == 5
    assert all(each["options"] == {"deferrable": True, "initially": "DEFERRED"} for each in foreign_keys)


def test_a_migrated_ledger_goes_on(old_url: str) -> None:
    ledger = Ledger(old_url)
    before = ledger.slot("taxi", LOCAL)
    after = ledger.commit(promotion(before, 1), sinks=["router"])
    assert after == ledger.replayed("taxi", LOCAL) == Slot(model="taxi", env=LOCAL, rev=4, stable=1, previous=3)
    assert ledger.verify("taxi", LOCAL).findings == ()
    assert [row.rev for row in ledger.pending(LOCAL)] == [4]
    repeated = promotion(Slot(model="taxi", env=LOCAL, rev=2, stable=2, previous=1), 3)
    assert ledger.commit(repeated) == before, "what an older Towpath did is known to be done"


def test_an_older_ledger_is_peeked_into_and_left_as_it_is(old_url: str) -> None:
    if old_url.startswith("sqlite"):
        slot, stable = peek(old_url, "taxi", LOCAL)
        assert (slot.rev, slot.stable, slot.candidate, stable and stable.version) == (3, 3, None, 3)
        with Database(old_url, 5).reading() as connection:
            assert schema.stored_revision(connection) == "0001"
    assert peek(old_url, "taxi", LOCAL)[0] == Ledger(old_url).slot("taxi", LOCAL)
    assert peek(old_url, "taxi", LOCAL)[0].rev == 3


def test_an_older_ledger_opened_by_many_at_once_is_migrated_once(old_url: str) -> None:
    barrier = threading.Barrier(6)

    def opened(_: int) -> int:
        barrier.wait()
        return Ledger(old_url).slot("taxi", LOCAL).rev

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(opened, range(6))) == [3] * 6
    assert Ledger(old_url).verify("taxi", LOCAL).findings == ()


def test_the_newest_migration_is_the_revision_that_a_fresh_ledger_is_marked_with() -> None:
    assert ScriptDirectory(str(schema.MIGRATIONS)).get_current_head() == SCHEMA_REVISION


def test_a_ledger_shares_a_database_with_mlflows_own_version_table(postgresql_url: str) -> None:
    engine = sqlalchemy.create_engine(postgresql_url, poolclass=sqlalchemy.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('mlflows')")
    assert Ledger(postgresql_url).slots() == ()
    with engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == "mlflows"


def test_a_ledger_of_a_newer_towpath_is_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    Ledger(url).slots()
    with sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool).begin() as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(FaultError, match="has schema 9999, this Towpath knows up to"):
        Ledger(url).slots()


def test_a_ledger_survives_power_loss_settings(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/ledger.db", 5)
    schema.ensure_schema(database)
    with database.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2, "2 is FULL"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_a_file_that_is_no_ledger_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"not a database" * 100)
    with pytest.raises(FaultError, match="file is not a database"):
        Ledger(f"sqlite:///{tmp_path}/ledger.db").slots()


def test_a_folder_that_cannot_be_made_is_infrastructure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InfrastructureError, match="check the folder"):
        Ledger(f"sqlite:///{tmp_path}/file/ledger.db").slots()


@pytest.mark.parametrize("url", ["nonsense", "mysql://host/ledger", "sqlite://", "sqlite:///:memory:"])
def test_addresses_that_cannot_hold_a_ledger_are_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="expected sqlite:///<path>"):
        Ledger(url)


def test_reading_needs_neither_alembic_nor_when_peeking_sqlalchemy(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    Ledger(url).slots()
    code = f"""
import sys
from components.release.peek import peek
from components.types.release import Environment
peek({url!r}, "taxi", Environment.LOCAL)
assert "sqlalchemy" not in sys.modules
from components.release.ledger import Ledger
Ledger({url!r}).slot("taxi", Environment.LOCAL)
assert "alembic" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
