"""Rows of an SQL query, from SQLite and PostgreSQL: exactly those that were probed, in one order."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from components.data import sql_source
from components.data.snapshot import read_snapshot
from components.errors import ConfigError, InfrastructureError, SchemaError, SourceError
from tests.data_project import MODEL, DataProject

VARIABLE = "TRIPS_DATABASE"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def database(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a database with a table of trips; its address is in the environment."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'trips.db'}"
    else:
        url = request.getfixturevalue("postgresql_url").replace("postgresql:", "postgresql+psycopg2:")
    monkeypatch.setenv(VARIABLE, url)
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE trips (n INTEGER, fare FLOAT, company VARCHAR(20), y INTEGER)"))
    _insert(engine, [(2, 2.5, None, 1), (1, 1.0, "Amber", 0), (3, None, "Birch", 1)])
    yield engine
    engine.dispose()


def _insert(engine: sa.Engine, rows: list[tuple[Any, ...]]) -> None:
    with engine.begin() as connection:
        for row in rows:
            values = dict(zip("abcd", row, strict=True))
            connection.execute(sa.text("INSERT INTO trips VALUES (:a, :b, :c, :d)"), values)


def _run(engine: sa.Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text(statement))


def _configure(project: DataProject, query: str = "SELECT * FROM trips;", watermark: str | None = "n") -> None:
    source = {"kind": "sql", "url_env": VARIABLE, "query": query, "watermark": watermark}
    project.configure(source, id="n", label="y")


@pytest.mark.parametrize("watermark", ["n", None])
def test_rows_are_read_in_the_order_of_their_ids(project: DataProject, database: Any, watermark: str | None) -> None:
    _configure(project, watermark=watermark)
    assert project.probe()
    assert not project.probe()
    project.ingest()
    assert project.table().rows() == [(1, 1.0, "Amber", 0), (2, 2.5, None, 1), (3, None, "Birch", 1)]


def test_the_probe_holds_no_address(project: DataProject, database: Any) -> None:
    _configure(project)
    project.probe()
    assert "://" not in (project.root / "data/trips/source.json").read_text()


@pytest.mark.parametrize("watermark", ["n", None])
def test_new_rows_are_noticed_by_the_probe(project: DataProject, database: Any, watermark: str | None) -> None:
    _configure(project, watermark=watermark)
    before = project.run()
    _insert(database, [(4, 4.0, "Coral", 0)])
    assert project.probe()
    after = project.ingest()
    assert (before.rows, after.rows) == (3, 4)


def test_rows_above_the_probed_watermark_are_left_for_the_next_probe(project: DataProject, database: Any) -> None:
    _configure(project)
    project.probe()
    _insert(database, [(4, 4.0, "Coral", 0)])
    assert project.ingest().rows == 3
    assert project.column("n") == [1, 2, 3]


@pytest.mark.parametrize(
    ("watermark", "change"),
    [
        ("n", "DELETE FROM trips WHERE n = 1"),
        ("n", "INSERT INTO trips VALUES (0, 0, NULL, 0)"),
        (None, "UPDATE trips SET fare = 9 WHERE n = 1"),
        (None, "INSERT INTO trips VALUES (4, 0, NULL, 0)"),
    ],
)
def test_a_changed_past_is_refused(project: DataProject, database: Any, watermark: str | None, change: str) -> None:
    _configure(project, watermark=watermark)
    project.probe()
    _run(database, change)
    with pytest.raises(SourceError, match="the result of the query has changed .* since the last probe"):
        project.ingest()
    assert not project.dataset.exists()


def test_a_time_may_be_the_watermark(project: DataProject, database: Any) -> None:
    _run(database, "CREATE TABLE timed (at TIMESTAMP, y INTEGER)")
    _run(database, "INSERT INTO timed VALUES ('2024-01-02 03:04:05', 1), ('2024-02-03 04:05:06.789', 2)")
    source = {"kind": "sql", "url_env": VARIABLE, "query": "SELECT * FROM timed", "watermark": "at"}
    project.configure(source, label="y", types={"at": "timestamp"})
    project.run()
    mark = read_snapshot(MODEL, project.root)[0].watermark
    assert mark is not None
    assert mark.upper.startswith("2024-02-03")
    assert project.column("at") == [datetime(2024, 1, 2, 3, 4, 5), datetime(2024, 2, 3, 4, 5, 6, 789000)]


def test_colons_and_per_cent_signs_in_a_query_are_left_alone(project: DataProject, database: Any) -> None:
    _configure(project, "SELECT n, ':x%s' AS fixed, y FROM trips WHERE company LIKE '%mb%'")
    project.run()
    assert project.table().rows() == [(1, ":x%s", 0)]


def test_many_rows_are_read_in_lots(project: DataProject, database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_source, "FETCH_ROWS", 2)
    _configure(project, watermark=None)
    assert project.run().rows == 3
    assert project.column("company") == ["Amber", None, "Birch"]


def test_without_an_id_the_order_is_that_of_all_columns(project: DataProject, database: Any) -> None:
    source = {"kind": "sql", "url_env": VARIABLE, "query": "SELECT y, n FROM trips"}
    project.configure(source, label="y")
    project.run()
    assert project.table().rows() == [(0, 0, 1), (1, 1, 2), (2, 1, 3)]


@pytest.mark.parametrize(
    ("query", "watermark", "error", "message"),
    [
        ("SELECT * FROM tripz", "n", SourceError, "the database refuses the query: .*tripz"),
        ("SELEC * FROM trips", None, SourceError, "the database refuses the query"),
        ("SELECT * FROM trips", "m", ConfigError, "`source.watermark` is `m`, which the query does not give"),
        ("SELECT * FROM trips WHERE n > 9", "n", SourceError, "no rows with a watermark"),
        ("SELECT * FROM trips WHERE n > 9", None, SchemaError, "gives no rows"),
    ],
)
def test_a_query_that_cannot_be_used_is_refused(
    project: DataProject, database: Any, query: str, watermark: str | None, error: type[Exception], message: str
) -> None:
    _configure(project, query, watermark)
    with pytest.raises(error, match=message):
        project.run()


def test_a_column_of_several_types_is_refused(project: DataProject, tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'mixed.db'}", poolclass=sa.NullPool)
    _run(engine, "CREATE TABLE mixed (a, y)")
    _run(engine, "INSERT INTO mixed VALUES (1, 1), ('x', 2)")
    engine.dispose()
    source = {"kind": "sql", "url": "sqlite:///mixed.db", "query": "SELECT * FROM mixed"}
    project.configure(source, label="y")
    with pytest.raises(SchemaError, match="column `a` holds int and str; CAST it"):
        project.run()


def test_a_variable_that_is_not_set_is_named(project: DataProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    _configure(project)
    with pytest.raises(ConfigError, match=f"environment variable {VARIABLE} is not set"):
        project.probe()


def test_an_address_that_is_none_is_refused_without_repeating_it(
    project: DataProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "hunter2")
    _configure(project)
    with pytest.raises(ConfigError, match=f"the environment variable {VARIABLE} is no address of a database") as caught:
        project.probe()
    assert "hunter2" not in str(caught.value)


def test_a_missing_sqlite_file_is_not_created(project: DataProject) -> None:
    source = {"kind": "sql", "url": "sqlite:///nothing.db", "query": "SELECT 1"}
    project.configure(source, label="y")
    with pytest.raises(SourceError, match=r"no SQLite database nothing.db"):
        project.probe()
    assert not (project.root / "nothing.db").exists()


def test_a_database_out_of_reach_may_be_tried_again(
    project: DataProject, monkeypatch: pytest.MonkeyPatch, free_port: Any
) -> None:
    pytest.importorskip("psycopg2")
    monkeypatch.setenv(VARIABLE, f"postgresql+psycopg2://towpath@127.0.0.1:{free_port()}/trips")
    _configure(project)
    with pytest.raises(InfrastructureError, match="cannot be reached"):
        project.probe()
