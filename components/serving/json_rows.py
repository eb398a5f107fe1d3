"""A list of JSON objects, one a row, to columns of plain values. Knows nothing of the request around it."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from components.errors import SchemaError
from components.serving.input_plan import InputPlan
from components.serving.refusals import RequestRefusedError, shown


def columns_of_records(content: Any, names: tuple[str, ...], plan: InputPlan, word: str) -> list[list[Any]]:
    """Return the columns of ``[{"name": value, ...}, ...]`` in the order of `names`.

    Raises:
        SchemaError: it is no such list, or a record has other names.
    """
    if type(content) is not list:
        raise SchemaError(f"expected a list of records, found {shown(content)}")
    if set(map(type, content)) <= {dict} and set(map(len, content)) <= {len(names)}:
        try:
            return [list(map(itemgetter(name), content)) for name in names]
        except KeyError:  # as many keys as there should be, but others: say which
            pass
    for row, record in enumerate(content):
        if type(record) is not dict:
            raise SchemaError(f"row {row}: expected an object, found {shown(record)}")
        try:
            plan.order_of(list(record), names, word)
        except SchemaError as error:
            raise SchemaError(f"row {row}: {error}") from None
    raise AssertionError("every record has the keys it should have")


def require_rows(rows: int, most_rows: int) -> None:
    """Check that there are rows, and no more than may be.

    Raises:
        SchemaError: there are none.
        RequestRefusedError: they are too many.
    """
    if not rows:
        raise SchemaError("the request has no rows; expected at least one")
    if rows > most_rows:
        raise RequestRefusedError(
            413, f"the request has more than {most_rows} rows; send fewer, or use `towpath predict`"
        )
