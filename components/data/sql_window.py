"""The part of an SQL query that may hold new rows: from the last watermark, less the lookback, on. Keeps nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.data.config import SqlSource, lookback_s
from components.data.snapshot import Watermark
from components.data.sql_source import (
    connection_to,
    count_rows,
    greatest,
    lots_of,
    mark_value,
    ordered,
    subquery_of,
    upper_bound,
)
from components.errors import ConfigError, SourceError
from components.types.batches import Window

if TYPE_CHECKING:
    from sqlalchemy import Connection, Subquery

_AHEAD = timedelta(days=1)
"""A watermark further in the future than this is no time at which a row was written."""
_TEXT_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?")
"""Of the forms of ISO 8601, the one whose beginning, down to the minute, stands in the order of time as text."""
_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
"""Rounds nothing: a rounded bound may pass over rows."""


@contextmanager
def window_rows(
    source: SqlSource, id_column: str, last: Window | None, root: Path, *, may_be_empty: bool
) -> Iterator[tuple[Window | None, Sequence[str], Iterator[Sequence[tuple[Any, ...]]]]]:
    """Give the window behind `last`, the names of the columns, and the window's rows in lots, all of one moment.

    Args:
        source: The query.
        id_column: The column by which corrected rows are known.
        last: The window of the last good batch; None before there is one.
        root: The project.
        may_be_empty: Whether a query without rows is no mistake, as rows were taken before: it gives no window.

    Raises:
        ConfigError: the watermark or the lookback cannot be used, or the query does not give the id.
        SourceError: rows have no watermark, the database refuses the query, or there are no rows and must be some.
        MissingExtraError: the database's driver is not installed.
        InfrastructureError: the database cannot be reached.
    """
    import sqlalchemy as sa

    with connection_to(source, root) as connection:
        rows, name = subquery_of(connection, source), str(source.watermark)
        mark = (greatest if may_be_empty else upper_bound)(connection, rows, name)
        if id_column not in rows.c:
            raise ConfigError(f"the query does not give the id `{id_column}`, by which corrected rows are known")
        _require_marks(connection, rows, name)
        if mark is None:
            yield None, list(rows.c.keys()), iter(())
            return
        top, reach = _ordered_value(mark), _reach(mark, source.lookback)
        lower = None if last is None else _lower(last, mark, reach)
        query = sa.select(*rows.c).where(rows.c[mark.column] <= mark_value(mark.type, mark.upper))
        if lower is not None:
            query = query.where(rows.c[mark.column] >= lower)
        upper = mark.upper if last is None or top >= _ordered_value(_mark(last)) else last.upper
        window = Window(mark.column, mark.type, None if lower is None else _text(lower), upper)
        yield window, list(rows.c.keys()), lots_of(connection, ordered(query, rows, id_column))


def _require_marks(connection: Connection, rows: Subquery, name: str) -> None:
    import sqlalchemy as sa

    without = count_rows(connection, sa.select(rows.c[name]).where(rows.c[name].is_(None)))
    if without:
        raise SourceError(
            f"{without} rows have no watermark `{name}`, so no run would ever take them; "
            "fill it, or leave such rows out in `source.query`"
        )


def _ordered_value(mark: Watermark) -> Any:
    """Return a watermark as something that grows: a number, or a time.

    Raises:
        ConfigError: it is a text that is no time, or one that as text has another order.
        SourceError: it lies in the future.
    """
    value = mark_value(mark.type, mark.upper)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value if _TEXT_TIME.fullmatch(value) else "")
        except ValueError:
            raise ConfigError(
                f"`source.watermark` is `{mark.column}`, a text that is no time in ISO 8601 with dashes and so has no "
                "order in which rows come; expected a number, a time, or a text such as 2026-01-31 12:00:00"
            ) from None
    if isinstance(value, date) and _moment(value) > datetime.now(UTC) + _AHEAD:
        raise SourceError(
            f"the watermark `{mark.column}` reaches {mark.upper}, which lies in the future: every row after it would "
            "count as late; correct that row, or leave it out in `source.query`"
        )
    return _moment(value) if isinstance(value, date) else value


def _moment(value: date) -> datetime:
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _mark(window: Window) -> Watermark:
    return Watermark(window.column, window.upper, window.type)


def _reach(mark: Watermark, lookback: float | str) -> float:
    """Return the lookback in the watermark's units, of a time in seconds.

    Raises:
        ConfigError: it is a time and the watermark is a number, or the other way round.
    """
    is_number = mark.type in ("int", "float", "Decimal")
    if is_number and isinstance(lookback, str):
        raise ConfigError(f"`source.lookback` is {lookback}, and `{mark.column}` holds numbers; give a number")
    if not is_number and lookback and not isinstance(lookback, str):
        raise ConfigError(f"`source.lookback` is {lookback}, and `{mark.column}` holds times; give e.g. 36h")
    return (lookback_s(lookback) or 0.0) if isinstance(lookback, str) else float(lookback)


def _lower(last: Window, mark: Watermark, reach: float) -> Any:
    """Return the last watermark less the lookback, as the database compares it.

    Raises:
        ConfigError: the watermark's type has changed.
    """
    if last.type != mark.type:
        raise ConfigError(
            f"the watermark `{mark.column}` was {last.type} and is {mark.type} now; CAST it in `source.query`"
        )
    value = mark_value(last.type, last.upper)
    if isinstance(value, int):
        return value - math.ceil(reach)
    if isinstance(value, Decimal):
        return _EXACT.subtract(value, Decimal(str(reach)))
    if isinstance(value, float):
        return value - reach
    if isinstance(value, str):
        before = datetime.fromisoformat(value) - timedelta(seconds=reach)
        # down to the minute: as text, 12:00:00.500000 stands behind 12:00:00.5, though it is the same time
        return (
            before.date().isoformat()
            if len(value) == len("2026-01-31")
            else f"{before:%Y-%m-%d}{value[10]}{before:%H:%M}"
        )
    if isinstance(value, datetime):
        return value - timedelta(seconds=reach)
    return value - timedelta(days=math.ceil(reach / 86_400))


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)
