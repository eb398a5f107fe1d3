"""Rows of an SQL query: up to the probed watermark, in one order each time. Secrets come from the environment."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from components.data.config import SqlSource
from components.data.schema import check_names
from components.data.snapshot import Snapshot, Watermark, changed
from components.errors import ConfigError, InfrastructureError, MissingExtraError, SourceError
from components.stage.config import nearest

if TYPE_CHECKING:
    from sqlalchemy import Connection, Select, Subquery

FETCH_ROWS = 10_000
_SNAPSHOT: dict[str, dict[str, Any]] = {
    "postgresql": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
    "mysql": {"isolation_level": "REPEATABLE READ"},
    "mariadb": {"isolation_level": "REPEATABLE READ"},
}
"""How all statements of a connection see one state; elsewhere the database's default stands."""
MARK_TYPES = {kind.__name__: kind for kind in (int, float, str, date, datetime, Decimal)}


def probe_query(source: SqlSource, id_column: str | None, root: Path) -> Snapshot:
    """Return the query's watermark and number of rows, or the digest of all its rows where it has no watermark.

    Raises:
        ConfigError: the environment variable is not set, or the address or the watermark cannot be used.
        SourceError: the database refuses the query.
        MissingExtraError: the database's driver is not installed.
        InfrastructureError: the database cannot be reached.
    """
    with connection_to(source, root) as connection:
        rows = subquery_of(connection, source)
        if source.watermark is None:
            digest, count = _digest(connection, rows, id_column)
            return Snapshot(kind="sql", origin=source.query, rows=count, result_sha256=digest)
        mark = upper_bound(connection, rows, source.watermark)
        return Snapshot(
            kind="sql", origin=source.query, rows=count_rows(connection, _bounded(rows, mark)), watermark=mark
        )


@contextmanager
def probed_rows(
    model: str, source: SqlSource, snapshot: Snapshot, id_column: str | None, root: Path
) -> Iterator[tuple[Sequence[str], Iterator[Sequence[tuple[Any, ...]]]]]:
    """Give the query's column names, and its rows in lots, exactly as probed.

    Raises:
        SourceError: rows were changed, removed or added below the watermark; or as `probe_query`.
    """
    with connection_to(source, root) as connection:
        rows = subquery_of(connection, source)
        query = ordered(_bounded(rows, snapshot.watermark), rows, id_column)
        names = list(rows.c.keys())
        yield names, _checked(connection, query, snapshot, model)


def _checked(
    connection: Connection, query: Select[Any], snapshot: Snapshot, model: str
) -> Iterator[Sequence[tuple[Any, ...]]]:
    digest, count = hashlib.sha256(), 0
    for lot in lots_of(connection, query):
        count += len(lot)
        if snapshot.result_sha256:
            _add(digest, lot)
        yield lot
    if count != snapshot.rows or (snapshot.result_sha256 and digest.hexdigest() != snapshot.result_sha256):
        raise changed(f"the result of the query has changed ({count} rows, {snapshot.rows} when probed)", model)


@contextmanager
def connection_to(source: SqlSource, root: Path) -> Iterator[Connection]:
    """Give a connection that sees one state of the database; what goes wrong with it becomes one sentence.

    Raises:
        ConfigError: the environment variable is not set, or the address cannot be used.
        SourceError: the database refuses the query.
        MissingExtraError: the database's driver is not installed.
        InfrastructureError: the database cannot be reached.
    """
    import sqlalchemy as sa

    try:
        engine = sa.create_engine(_address(source, root), poolclass=sa.NullPool)
    except sa.exc.ArgumentError as error:
        where = f"the environment variable {source.url_env}" if source.url_env else "`source.url`"
        raise ConfigError(
            f"{where} is no address of a database; expected e.g. postgresql+psycopg2://user@host/name"
        ) from error
    except ImportError as error:
        raise MissingExtraError.of(
            f"the database's driver is not installed ({error}); only PostgreSQL's comes with this project", "postgresql"
        ) from error
    try:
        with engine.connect().execution_options(**_SNAPSHOT.get(engine.dialect.name, {})) as connection:
            yield connection
    except (sa.exc.ProgrammingError, sa.exc.DataError, sa.exc.CompileError) as error:
        raise SourceError(f"the database refuses the query: {_words(error)}; correct `source.query`") from error
    except sa.exc.OperationalError as error:
        if engine.dialect.name == "sqlite" and "unable to open" not in str(error):
            raise SourceError(f"the database refuses the query: {_words(error)}; correct `source.query`") from error
        raise InfrastructureError(f"the database cannot be reached: {_words(error)}; try again later") from error
    except sa.exc.SQLAlchemyError as error:
        raise SourceError(f"the query cannot be read: {_words(error)}") from error
    finally:
        engine.dispose()


def _address(source: SqlSource, root: Path) -> Any:
    import sqlalchemy as sa

    text = source.url if source.url_env is None else os.environ.get(source.url_env)
    if not text:
        raise ConfigError(f"the environment variable {source.url_env} is not set; it holds the database's address")
    url = sa.make_url(text)
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        path = root / url.database
        if not path.is_file():
            raise SourceError(f"there is no SQLite database {url.database}; correct `source.url` or bring the data")
        url = url.set(database=str(path))
    return url


def subquery_of(connection: Connection, source: SqlSource) -> Subquery:
    """Return the configured query with the names of its columns, checked."""
    import sqlalchemy as sa

    statement = source.query.strip().rstrip(";").replace(":", r"\:")
    one = sa.text(statement).columns().subquery("towpath_source")
    names = list(connection.execute(sa.select(sa.text("*")).select_from(one).limit(0)).keys())
    check_names(names, "the query's result")
    return sa.text(statement).columns(*(sa.column(name) for name in names)).subquery("towpath_source")


def upper_bound(connection: Connection, rows: Subquery, name: str) -> Watermark:
    """Return a watermark's greatest value.

    Raises:
        ConfigError: the query has no such column, or its values cannot be compared.
        SourceError: there is no value.
    """
    mark = greatest(connection, rows, name)
    if mark is None:
        raise SourceError(f"the query gives no rows with a watermark `{name}`; nothing can be read")
    return mark


def greatest(connection: Connection, rows: Subquery, name: str) -> Watermark | None:
    """Return a watermark's greatest value; None where there is no value.

    Raises:
        ConfigError: the query has no such column, or its values cannot be compared.
    """
    import sqlalchemy as sa

    if name not in rows.c:
        known = rows.c.keys()
        raise ConfigError(f"`source.watermark` is `{name}`, which the query does not give{nearest(name, known)}")
    upper = _plain(connection.execute(sa.select(sa.func.max(rows.c[name]))).scalar())
    if upper is None:
        return None
    if type(upper).__name__ not in MARK_TYPES:
        raise ConfigError(f"`source.watermark` is `{name}`, a {type(upper).__name__}; expected a number, text or time")
    text = upper.isoformat() if isinstance(upper, date) else str(upper)
    return Watermark(name, text, type(upper).__name__)


def _bounded(rows: Subquery, mark: Watermark | None) -> Select[Any]:
    import sqlalchemy as sa

    query = sa.select(*rows.c)
    if mark is None:
        return query
    return query.where(rows.c[mark.column] <= mark_value(mark.type, mark.upper))


def mark_value(kind: str, text: str) -> Any:
    """Return a watermark's value from its text."""
    found: Any = MARK_TYPES[kind]
    return (found.fromisoformat if issubclass(found, date) else found)(text)


def ordered(query: Select[Any], rows: Subquery, id_column: str | None) -> Select[Any]:
    """Order by the id, or by every column: rows that are alike in all of them are interchangeable."""
    return query.order_by(rows.c[id_column]) if id_column and id_column in rows.c else query.order_by(*rows.c)


def count_rows(connection: Connection, query: Select[Any]) -> int:
    """Return how many rows a query gives."""
    import sqlalchemy as sa

    return int(connection.execute(sa.select(sa.func.count()).select_from(query.subquery())).scalar_one())


def _digest(connection: Connection, rows: Subquery, id_column: str | None) -> tuple[str, int]:
    digest, count = hashlib.sha256(), 0
    for lot in lots_of(connection, ordered(_bounded(rows, None), rows, id_column)):
        _add(digest, lot)
        count += len(lot)
    return digest.hexdigest(), count


def lots_of(connection: Connection, query: Select[Any]) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Give a query's rows in lots, never all at once."""
    result = connection.execution_options(stream_results=True, max_row_buffer=FETCH_ROWS).execute(query)
    while lot := result.fetchmany(FETCH_ROWS):
        yield [tuple(_plain(value) for value in row) for row in lot]


def _plain(value: Any) -> Any:
    """Return a value that reads the same in every session: times with an offset in UTC."""
    if isinstance(value, datetime) and value.tzinfo:
        return value.astimezone(UTC)
    if isinstance(value, memoryview):
        return value.tobytes()
    return str(value) if isinstance(value, UUID) else value


def _add(digest: hashlib._Hash, lot: Sequence[tuple[Any, ...]]) -> None:
    for row in lot:
        digest.update(repr(row).encode() + b"\n")


def _words(error: Exception) -> str:
    return " ".join(str(getattr(error, "orig", None) or error).split())[:200]
