"""Rows of an SQL query by watermark, from SQLite and PostgreSQL: new, late and corrected ones, each of them once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from components.data import sql_source
from components.data.config import SqlSource
from components.data.sql_window import window_rows
from components.errors import BadInputError, ConfigError, SourceError, TowpathError
from components.types.batches import Decision, Window
from pipelines.batches.decisions import decide
from tests.batch_project import BatchProject
from tests.data_project import MODEL

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # DVC's own

VARIABLE = "TRIPS_DATABASE"
COLUMNS = {"id": "int64", "x": "float64", "y": "string", "at": "timestamp"}
SOURCE = {"kind": "sql", "url_env": VARIABLE, "query": "SELECT * FROM trips", "watermark": "at", "batches": "watermark"}


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.Engine]:
    """Return an SQLite database with an empty table of trips, its times as texts; its address is in the environment."""
    yield from _database(f"sqlite:///{tmp_path / 'trips.db'}", "VARCHAR(30)", monkeypatch)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def any_database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.Engine]:
    """Return the same in each kind of database."""
    if request.param == "sqlite":
        yield request.getfixturevalue("database")
        return
    url = request.getfixturevalue("postgresql_url").replace("postgresql:", "postgresql+psycopg2:")
    yield from _database(url, "TIMESTAMP", monkeypatch)


def _database(url: str, time_type: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.Engine]:
    monkeypatch.setenv(VARIABLE, url)
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    run(engine, f"CREATE TABLE trips (id INTEGER, x FLOAT, y VARCHAR(5), at {time_type}, n INTEGER)")
    yield engine
    engine.dispose()


def run(engine: sa.Engine, statement: str, **values: Any) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text(statement), values)


def insert(engine: sa.Engine, *rows: tuple[int, float | None, str | None]) -> None:
    """Insert rows of id, x and time; a row's label and number follow from its id."""
    for id_, x, at in rows:
        run(engine, "INSERT INTO trips VALUES (:id, :x, :y, :at, :n)", id=id_, x=x, y="ab"[id_ % 2], at=at, n=id_)


def test_each_night_takes_new_late_and_corrected_rows_and_none_twice(
    project: BatchProject, any_database: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = any_database
    monkeypatch.setattr(sql_source, "FETCH_ROWS", 2)
    project.set_up(
        {**SOURCE, "query": "SELECT id, x, y, at FROM trips;", "lookback": "2d"}, COLUMNS, types={"at": "timestamp"}
    )
    insert(database, *((n, 0.5, f"2026-01-0{n} 12:00:00") for n in range(1, 6)))
    assert project.night().new == ("000001",)
    assert project.night().new == (), "rows within the lookback are no news"
    insert(database, (6, None, "2026-01-06 12:00:00"), (7, 0.5, "2026-01-05 12:00:00"))  # as late as the last one
    insert(database, (8, 0.5, "2026-01-04 00:00:00"))  # late, and within two days
    insert(database, (9, 0.5, "2026-01-01 00:00:00"))  # too late for the lookback
    run(database, "UPDATE trips SET x = 0.25, at = '2026-01-06 13:00:00' WHERE id = 2")
    assert project.night().new == ("000002",)
    assert [batch.rows for batch in project.chosen.batches] == [5, 4]
    assert project.x() == {1: 0.5, 3: 0.5, 4: 0.5, 5: 0.5, 2: 0.25, 6: None, 7: 0.5, 8: 0.5}
    for number, x in enumerate((0.25, 0.5), start=3):  # changed, and changed back to just what it was
        run(database, f"UPDATE trips SET x = {x} WHERE id = 5")
        assert project.look().new == (f"{number:06d}",)
        project.make()
        assert project.x()[5] == x
    assert project.look().new == ()
    run(database, "DELETE FROM trips WHERE id < 4")
    assert (project.look().new, len(project.ids())) == ((), 8)


def test_a_killed_night_takes_its_rows_again_and_bad_rows_wait_until_they_are_corrected(
    project: BatchProject, database: sa.Engine
) -> None:
    source = {**SOURCE, "query": "SELECT id, x, y, n FROM trips", "watermark": "n"}
    project.set_up(source, {"id": "int64", "x": "float64", "y": "string", "n": "int64"})
    project.write("pipelines/configs/trips.yaml", CONFIG)
    insert(database, *((n, 0.5, "2026-01-01") for n in range(1, 5)))
    project.night()
    insert(database, (5, 0.5, "2026-01-01"))
    project.look()  # killed right after the probe
    insert(database, (6, 0.5, "2026-01-01"))
    assert project.night().new == ("000002",)
    assert project.ids() == [1, 2, 3, 4, 5, 6]
    insert(database, (7, 9.0, "2026-01-01"))
    assert project.look().is_refused
    again = project.look()
    assert (again.is_refused, [bad.name for bad in again.held]) == (False, ["000003"])
    with pytest.raises(BadInputError, match="rows of a query cannot be dropped"):
        decide(MODEL, "000003", Decision.DROPPED, "no", project.root)
    run(database, "UPDATE trips SET x = 0.9 WHERE id = 7")
    assert project.night().new == ("000003",)
    assert project.x()[7] == 0.9
    project.set_up({**source, "query": "SELECT id, x, y, n FROM trips WHERE n > 1"}, {**COLUMNS_N})
    assert (project.night().new, project.ids()) == (("000001",), [2, 3, 4, 5, 6, 7]), "another query begins anew"


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"watermark": "att"}, ConfigError, "which the query does not give (did you mean `at`?)"),
        ({"watermark": "y"}, ConfigError, "a text that is no time in ISO 8601"),
        ({"watermark": "compact"}, ConfigError, "expected a number, a time, or a text such as 2026-01-31 12:00:00"),
        ({"watermark": "x"}, SourceError, "1 rows have no watermark `x`, so no run would ever take them"),
        ({"watermark": "n", "lookback": "2d"}, ConfigError, "`n` holds numbers; give a number"),
        ({"lookback": 2}, ConfigError, "`at` holds times; give e.g. 36h"),
        ({"query": "SELECT x, at FROM trips"}, ConfigError, "the query does not give the id `id`"),
    ],
)
def test_a_watermark_that_cannot_be_one_is_refused_in_a_sentence(
    project: BatchProject, database: sa.Engine, changes: dict[str, Any], error: type[TowpathError], words: str
) -> None:
    project.set_up(
        {**SOURCE, "query": "SELECT id, x, y, at, n FROM trips"}, {**COLUMNS, "n": "int64"}, types={"at": "timestamp"}
    )
    insert(database, (1, 0.5, "2026-01-01 00:00:00"), (2, None, "2026-01-02 00:00:00"))
    query = "SELECT id, x, y, at, n, '20260131' AS compact FROM trips"
    project.set_up({**SOURCE, "query": query, **changes}, {**COLUMNS, "n": "int64"}, types={"at": "timestamp"})
    with pytest.raises(error) as raised:
        project.look()
    assert words in str(raised.value)


def test_a_database_that_was_emptied_has_nothing_new_and_one_that_was_never_filled_is_a_mistake(
    project: BatchProject, database: sa.Engine
) -> None:
    project.set_up({**SOURCE, "query": "SELECT id, x, y, n FROM trips", "watermark": "n"}, COLUMNS_N)
    with pytest.raises(SourceError, match="the query gives no rows with a watermark `n`"):
        project.look()
    insert(database, *((n, 0.5, "2026-01-01") for n in range(1, 5)))
    project.look()  # killed right after the probe
    run(database, "DELETE FROM trips")
    assert project.night().new == ("000001",), "rows of a killed night that are nowhere else were lost"
    assert project.night().new == ()
    assert project.ids() == [1, 2, 3, 4]
    insert(database, (5, 0.5, "2026-01-01"))
    assert project.night().new == ("000002",)


def test_rows_of_a_killed_night_that_the_database_has_no_more_stay_and_none_is_there_twice(
    project: BatchProject, database: sa.Engine
) -> None:
    project.set_up({**SOURCE, "query": "SELECT id, x, y, n FROM trips", "watermark": "n"}, COLUMNS_N)
    insert(database, *((n, 0.5, "2026-01-01") for n in range(1, 5)))
    project.night()
    insert(database, (5, 0.5, "2026-01-01"), (6, 0.5, "2026-01-01"))
    project.look()  # killed right after the probe
    run(database, "DELETE FROM trips WHERE id = 5")
    run(database, "UPDATE trips SET x = 0.25 WHERE id = 6")
    insert(database, (7, 0.5, "2026-01-01"))
    assert project.look().new == ("000002", "000003")  # killed again: the third is read again, the second cannot be
    insert(database, (8, 0.5, "2026-01-01"))
    assert project.night().new == ("000002", "000003")
    assert project.ids() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert project.x()[6] == 0.25


@pytest.mark.slow
def test_a_large_number_is_a_watermark_to_its_last_digit(
    postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, postgresql_url.replace("postgresql:", "postgresql+psycopg2:"))
    first, reach = 10**35 + 1, 3  # more digits than a float has, and than decimal numbers keep unless told
    query = f"SELECT n - {first} AS id, n FROM generate_series({first}::numeric, {first} + 9) AS n"
    source = SqlSource.model_validate({**SOURCE, "query": query, "watermark": "n", "lookback": reach})
    last = Window("n", "Decimal", None, str(first + 6))
    with window_rows(source, "id", last, tmp_path, may_be_empty=True) as (window, _, lots):
        assert [int(row[0]) for lot in lots for row in lot] == [3, 4, 5, 6, 7, 8, 9]
    assert window is not None
    assert (window.lower, window.upper) == (f"{first + 3}.0", str(first + 9))


@pytest.mark.parametrize(
    ("last", "late"),
    [
        ("2026-01-02 12:00:00.500", "2026-01-02 12:00:00.500"),
        ("2026-01-02T12:00", "2026-01-02T12:00"),
        ("2026-01-02", "2026-01-02"),
    ],
)
def test_a_text_that_is_as_late_as_the_last_one_is_in_the_window(
    database: sa.Engine, tmp_path: Path, last: str, late: str
) -> None:
    insert(database, (1, 0.5, "2026-01-01"), (2, 0.5, late))
    with window_rows(
        SqlSource.model_validate(SOURCE), "id", Window("at", "str", None, last), tmp_path, may_be_empty=True
    ) as (_, _, lots):
        assert [row[0] for lot in lots for row in lot] == [2]


def test_a_watermark_in_the_future_is_refused(project: BatchProject, database: sa.Engine) -> None:
    project.set_up(SOURCE, {**COLUMNS, "n": "int64"}, types={"at": "timestamp"})
    insert(database, (1, 0.5, (datetime.now(UTC) + timedelta(days=900)).strftime("%Y-%m-%d %H:%M:%S")))
    with pytest.raises(SourceError, match="which lies in the future: every row after it would count as late"):
        project.look()


COLUMNS_N = {"id": "int64", "x": "float64", "y": "string", "n": "int64"}
CONFIG = """
models:
  trips:
    data: {source: {kind: sql, url_env: TRIPS_DATABASE, query: "SELECT id, x, y, n FROM trips", watermark: n,
                    batches: watermark}, id: id, label: y}
    features: {task: binary}
    evaluation: {primary: auc}
    gates: {absolute: {auc: 0.6}}
trainings:
  trips-sklearn: {model: trips, kind: sklearn, architecture: linear}
"""
