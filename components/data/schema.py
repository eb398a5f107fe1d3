"""The columns of a source: their names checked, one type for each. Reads rows only to infer the types of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from components.data.convert import own_type
from components.data.infer import ColumnEvidence
from components.data.rows import Reader
from components.errors import SchemaError
from components.stage.config import nearest
from components.types.dataset import ColumnType

Types = dict[str, ColumnType]
_NUMBERS = {ColumnType.INT64, ColumnType.FLOAT64}


def source_types(reader: Reader, overrides: Mapping[str, ColumnType], drop: Sequence[str]) -> Types:
    """Return the type of every column that is read, in order.

    Raises:
        SchemaError: columns differ between files, a type cannot be held, or a configured name is not there.
        SourceError: the source cannot be read.
    """
    found = _schemas(reader)
    for key, names in (("drop", drop), ("types", overrides)):
        for name in names:
            require_column(name, found, f"`{key}` names")
    wanted = [name for name in found if name not in set(drop)]
    if not wanted:
        raise SchemaError("no column is left: every one is named in `drop`; keep the label and a feature")
    inferred = _inferred(reader, [n for n in wanted if n not in overrides]) if reader.is_text else found
    return {name: _type(name, overrides.get(name) or inferred[name]) for name in wanted}


def types_meant(reader: Reader, expected: Mapping[str, ColumnType], drop: Sequence[str]) -> Types:
    """Return those of the expected types that the columns of one batch may stand for.

    Text may stand for anything, as may a column without values; whole numbers may stand for numbers.

    Raises:
        SchemaError: columns differ between files.
        SourceError: the source cannot be read.
    """
    found = _schemas(reader)
    return {
        name: kind
        for name, kind in expected.items()
        if name in found
        and name not in drop
        and (reader.is_text or found[name] is None or (found[name] in _NUMBERS and kind is ColumnType.FLOAT64))
    }


def require_column(name: str, known: Iterable[str], who: str) -> None:
    """Check that a column is there.

    Raises:
        SchemaError: it is not; the message gives the nearest name.
    """
    names = list(known)
    if name not in names:
        shown = ", ".join(names[:30]) + (f" and {len(names) - 30} more" if len(names) > 30 else "")
        raise SchemaError(f"{who} column `{name}`, which is not there{nearest(name, names)}; there are: {shown}")


def check_names(names: Sequence[str], place: str) -> None:
    """Check that every column has a name of its own.

    Raises:
        SchemaError: a name is empty, or stands twice.
    """
    for position, name in enumerate(names, start=1):
        if not name.strip():
            raise SchemaError(
                f"{place}: column {position} has no name (an index that was saved along?); name or remove it"
            )
    double = [name for name, count in Counter(names).items() if count > 1]
    if double:
        raise SchemaError(f"{place}: column `{double[0]}` stands there more than once; rename it")


def _schemas(reader: Reader) -> dict[str, ColumnType | pl.DataType | None]:
    types: dict[str, ColumnType | pl.DataType | None] = {}
    first_place = ""
    for place, schema in reader.schemas():
        check_names(list(schema), place)
        if types and not reader.may_lack_columns:
            _same_names(types, schema, place, first_place)
        first_place = first_place or place
        for name, dtype in schema.items():
            types[name] = _merge(types.get(name), _own(dtype), name, place)
    return types


def _own(dtype: pl.DataType) -> ColumnType | pl.DataType | None:
    try:
        return own_type(dtype)
    except TypeError:
        return dtype


def _merge(
    before: ColumnType | pl.DataType | None, now: ColumnType | pl.DataType | None, name: str, place: str
) -> ColumnType | pl.DataType | None:
    if before is None or now is None or before == now:
        return now if before is None else before
    if before in _NUMBERS and now in _NUMBERS:
        return ColumnType.FLOAT64
    raise SchemaError(f"{place}: column `{name}` is {now} here and {before} before; write it as one type everywhere")


def _same_names(before: Iterable[str], now: Iterable[str], place: str, first_place: str) -> None:
    missing, extra = sorted(set(before) - set(now)), sorted(set(now) - set(before))
    if missing or extra:
        words = [f"lacks `{missing[0]}`"] if missing else []
        words += [f"has `{extra[0]}` besides"] if extra else []
        raise SchemaError(f"{place} {' and '.join(words)}, unlike {first_place}; all files need the same columns")


def _inferred(reader: Reader, names: Sequence[str]) -> Mapping[str, ColumnType]:
    evidence = {name: ColumnEvidence() for name in names}
    for piece in reader.pieces(names):
        for name, column in evidence.items():
            column.add(piece.frame[name])
    return {name: column.type for name, column in evidence.items()}


def _type(name: str, found: ColumnType | pl.DataType | None) -> ColumnType:
    if found is None:
        return ColumnType.FLOAT64
    if isinstance(found, ColumnType):
        return found
    raise SchemaError(
        f"column `{name}` is of type {found}, expected one of {', '.join(ColumnType)}; convert it or name it in `drop`"
    )
