"""Read a table file as Arrow batches of bounded size, strictly. Knows no model but its columns' types."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from components.errors import SchemaError, SourceError
from components.types.dataset import ColumnType
from components.types.product import Signature

Reader = Callable[[Path, Signature, int], Iterator[Any]]
"""Yields `pyarrow.RecordBatch` of at most so many rows."""

_ARROW = {
    ColumnType.FLOAT64: pa.float64(),
    ColumnType.INT64: pa.int64(),
    ColumnType.BOOL: pa.bool_(),
    ColumnType.STRING: pa.string(),
}
_BLOCK_BYTES = 4 * 1024 * 1024
_CSV_PLACE = re.compile(r"In CSV column #(\d+): (?:Row #(\d+): )?(.*)", re.DOTALL)


def _types(signature: Signature) -> dict[str, Any]:
    return {column: _ARROW[spec.type] for spec in signature.inputs for column in spec.columns}


def read_parquet(path: Path, _: Signature, batch_rows: int) -> Iterator[Any]:
    """Yield a Parquet file's batches.

    Raises:
        SourceError: it is no Parquet file.
    """
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=batch_rows)
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceError(f"{path} cannot be read as Parquet: {_words(error)}") from error


def read_csv(path: Path, signature: Signature, batch_rows: int) -> Iterator[Any]:
    """Yield a CSV file's batches: the product's columns in their types, the others as text; an empty cell is missing.

    Raises:
        SourceError: it is no CSV file.
        SchemaError: a cell cannot be read as its column's type.
    """
    from pyarrow import csv

    types = _types(signature)
    names = _csv_header(path)
    if repeated := {name for name in names if names.count(name) > 1}:
        raise SchemaError(f"{path} has the column `{min(repeated)}` twice")
    options = csv.ConvertOptions(
        column_types={name: types.get(name, pa.string()) for name in names},
        null_values=[""],
        true_values=["true", "True", "TRUE"],
        false_values=["false", "False", "FALSE"],
        strings_can_be_null=True,
    )
    reading = csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES)
    parsing = csv.ParseOptions(newlines_in_values=True)
    try:
        with csv.open_csv(path, reading, parsing, options) as reader:
            for batch in reader:
                yield from _sliced(batch, batch_rows)
    except pa.ArrowInvalid as error:
        raise _csv_error(path, names, str(error)) from error
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {_words(error)}") from error


def read_jsonl(path: Path, signature: Signature, batch_rows: int) -> Iterator[Any]:
    """Yield the batches of a file with one JSON object per line; other keys must be the same in every line.

    Raises:
        SchemaError: a line is no JSON object, or a value is not of its column's type.
        SourceError: the file cannot be read.
    """
    types = _types(signature)
    try:
        with path.open("rb") as file:
            records: list[dict[str, Any]] = []
            first = 1
            for row, line in enumerate(file, start=1):
                records.append(_record(line, path, row, types))
                if len(records) == batch_rows:
                    yield _record_batch(records, types, path, first)
                    records, first = [], row + 1
            if records:
                yield _record_batch(records, types, path, first)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error


def _csv_header(path: Path) -> list[str]:
    import csv

    try:
        with path.open(encoding="utf-8", newline="") as file:
            return next(csv.reader(file), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path} cannot be read as CSV in UTF-8: {error}") from error


def _csv_error(path: Path, names: list[str], message: str) -> SchemaError:
    if (place := _CSV_PLACE.match(message)) is None:
        return SchemaError(f"{path} is no CSV table: {' '.join(message.split())[:300]}")
    column, row, reason = place.groups()
    where = f"row {int(row) - 1}, " if row else ""  # pyarrow counts the header
    return SchemaError(f"{path}: {where}column `{names[int(column)]}`: {' '.join(reason.split())[:200]}")


def _record(line: bytes, path: Path, row: int, types: Mapping[str, Any]) -> dict[str, Any]:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise SchemaError(f"{path}: row {row} is no JSON: {error.msg} in column {error.colno}") from None
    if type(record) is not dict:
        raise SchemaError(f"{path}: row {row} is no JSON object")
    if absent := types.keys() - record.keys():
        raise SchemaError(f"{path}: row {row}: column `{min(absent)}` is missing; null says that a value is missing")
    return record


def _record_batch(records: list[dict[str, Any]], types: Mapping[str, Any], path: Path, first: int) -> Any:
    names = list(records[0])
    for place, record in enumerate(records):
        if record.keys() != records[0].keys():
            changed = min(record.keys() ^ records[0].keys())
            raise SchemaError(f"{path}: row {first + place}: column `{changed}` is not in every row")
    return pa.record_batch(
        [_column([record[name] for record in records], name, types.get(name), path, first) for name in names], names
    )


def _column(values: list[Any], name: str, kind: Any, path: Path, first: int) -> Any:
    if kind is None:
        try:
            return pa.array(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise SchemaError(f"{path}: column `{name}` holds values of several types: {_words(error)}") from error
    accepted = _PYTHON[kind]
    if not set(map(type, values)) <= accepted:
        place = next(place for place, value in enumerate(values) if type(value) not in accepted)
        raise SchemaError(
            f"{path}: row {first + place}, column `{name}`: expected {kind} or null, found {str(values[place])[:40]!r}"
        )
    try:
        return pa.array(values, kind)
    except (pa.ArrowInvalid, OverflowError) as error:
        raise SchemaError(f"{path}: column `{name}` from row {first} on: {_words(error)}") from error


def _sliced(batch: Any, rows: int) -> Iterator[Any]:
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


_PYTHON: Mapping[Any, set[type]] = {
    pa.float64(): {float, int, type(None)},
    pa.int64(): {int, type(None)},
    pa.bool_(): {bool, type(None)},
    pa.string(): {str, type(None)},
}

READERS: Mapping[str, Reader] = {
    ".csv": read_csv,
    ".parquet": read_parquet,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
}
