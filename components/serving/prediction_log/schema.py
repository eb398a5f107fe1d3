"""The columns of a logged version, and entries as rows of them. Knows nothing of files or queues.

Arrow is imported by the process that writes alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from components.runtime.protocol import PREDICTION, PROBABILITIES
from components.serving.prediction_log.arrow_columns import lists, numbers, texts, truths
from components.types.dataset import MISSING_STRING, ColumnType
from components.types.product import InputSpec, Signature

if TYPE_CHECKING:
    import pyarrow as pa

    from components.serving.prediction_log.frames import LoggedEntry, LoggedVersion

SCHEMA_NUMBER = 1
METADATA_KEY = b"towpath"
OWN_COLUMNS = frozenset(
    {
        PREDICTION, PROBABILITIES, "time", "request_id", "row", "user", "version", "digest", "role", "rev",
        "latency_ms", "status", "date",
    }
)  # fmt: skip


def input_column(name: str) -> str:
    """Return the column of a raw input: its own name, unless the log has a column of that name itself."""
    return f"input:{name}" if name in OWN_COLUMNS else name


def make_schema(version: LoggedVersion) -> pa.Schema:
    """Return the typed columns of one version's files."""
    import pyarrow as pa

    ref, signature = version
    fields = [pa.field(input_column(spec.name), _input_type(spec)) for spec in signature.inputs]
    fields += [
        pa.field(PREDICTION, _plain_type(label_type(signature))),
        pa.field(PROBABILITIES, pa.list_(pa.float32(), len(signature.classes) or -1)),
        pa.field("time", pa.timestamp("us", tz="UTC")),
        pa.field("request_id", pa.string()),
        pa.field("row", pa.int32()),
        pa.field("user", pa.uint64()),
        pa.field("version", pa.int32()),
        pa.field("digest", pa.string()),
        pa.field("role", pa.string()),
        pa.field("rev", pa.int64()),
        pa.field("latency_ms", pa.float32()),
        pa.field("status", pa.int16()),
    ]
    about = {
        "schema": SCHEMA_NUMBER,
        "model": ref.model,
        "version": ref.version,
        "digest": ref.digest,
        "task": signature.task.value,
        "classes": signature.classes,
    }
    return pa.schema(fields, metadata={METADATA_KEY: json.dumps(about).encode()})


def make_rows(schema: pa.Schema, entries: Sequence[LoggedEntry]) -> pa.RecordBatch:
    """Return entries of one version as rows; the arrays are copies, so the requests' own may go."""
    import pyarrow as pa

    arrays: list[pa.Array] = []
    for spec, values in zip(entries[0].version.signature.inputs, _columns(entries), strict=True):
        arrays.append(_input_array(spec, values, schema.field(len(arrays)).type))
    unanswered = np.concatenate([np.full(each.logged_rows, each.prediction is None) for each in entries])
    arrays.append(_prediction_array(schema.field(PREDICTION).type, entries, unanswered))
    arrays.append(_probabilities_array(schema.field(PROBABILITIES).type, entries, unanswered))
    arrays += _about_requests(entries)
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _columns(entries: Sequence[LoggedEntry]) -> Iterable[Any]:
    """Return the raw inputs of all entries, their values in a row, in the order of the signature."""
    blocks = [each.block for each in entries if each.block is not None]
    if len(blocks) == len(entries):
        return iter(np.concatenate(blocks, axis=1))
    inputs = entries[0].version.signature.inputs
    return (_joined([_values(each, place) for each in entries], spec.type) for place, spec in enumerate(inputs))


def _values(entry: LoggedEntry, place: int) -> Any:
    return entry.tensors[place] if entry.block is None else entry.block[place]


def _joined(parts: Sequence[Any], column: ColumnType) -> Any:
    return [text for part in parts for text in part] if column is ColumnType.STRING else np.concatenate(parts)


def _about_requests(entries: Sequence[LoggedEntry]) -> list[pa.Array]:
    """Return what is the same for all rows of a request, as columns in the order of the schema."""
    import pyarrow as pa

    counts = [each.logged_rows for each in entries]
    ref = entries[0].version.ref

    def repeated(values: list[float], kind: type[np.generic]) -> np.ndarray:
        return np.repeat(np.array(values, kind), counts)

    def repeated_texts(values: list[str]) -> pa.Array:
        return texts([text for text, count in zip(values, counts, strict=True) for _ in range(count)])

    rows = np.concatenate([np.arange(0, each.rows, each.step, dtype=np.int32) for each in entries])
    times = repeated([round(each.time_s * 1e6) for each in entries], np.int64)
    return [
        numbers(times, pa.timestamp("us", tz="UTC")),
        repeated_texts([each.request_id for each in entries]),
        numbers(rows, pa.int32()),
        numbers(repeated([each.user for each in entries], np.uint64), pa.uint64()),
        numbers(np.full(len(rows), ref.version, np.int32), pa.int32()),
        texts([ref.digest] * len(rows)),
        repeated_texts([each.role for each in entries]),
        numbers(repeated([each.rev for each in entries], np.int64), pa.int64()),
        numbers(repeated([each.seconds * 1_000 for each in entries], np.float32), pa.float32()),
        numbers(repeated([each.status for each in entries], np.int16), pa.int16()),
    ]


def day_of(time_s: float) -> str:
    """Return the day (UTC) of a time."""
    return datetime.fromtimestamp(time_s, UTC).date().isoformat()


def _input_type(spec: InputSpec) -> pa.DataType:
    import pyarrow as pa

    plain = _plain_type(spec.type)
    return pa.list_(plain, prod(spec.shape)) if spec.shape else plain


def _plain_type(kind: ColumnType) -> pa.DataType:
    import pyarrow as pa

    return {
        ColumnType.FLOAT64: pa.float64(),
        ColumnType.INT64: pa.int64(),
        ColumnType.BOOL: pa.bool_(),
        ColumnType.STRING: pa.string(),
    }[kind]


def label_type(signature: Signature) -> ColumnType:
    """Return the type of a version's predictions."""
    if not signature.classes:
        return ColumnType.FLOAT64
    label = signature.classes[0]
    if isinstance(label, bool):
        return ColumnType.BOOL
    return ColumnType.INT64 if isinstance(label, int) else ColumnType.STRING


def _input_array(spec: InputSpec, values: Any, kind: pa.DataType) -> pa.Array:
    if not spec.shape:
        return _plain_array(spec.type, values, kind)
    return lists(_plain_array(spec.type, values, kind.value_type), kind)


def _plain_array(column: ColumnType, values: Any, kind: pa.DataType) -> pa.Array:
    match column:
        case ColumnType.STRING:
            missing = np.array([text == MISSING_STRING for text in values])
            return texts(["" if text == MISSING_STRING else text for text in values], missing)
        case ColumnType.BOOL:
            return truths(values)
        case ColumnType.FLOAT64:
            return numbers(values, kind, np.isnan(values))  # NaN stands for a missing value
        case _:
            return numbers(values, kind)


def _prediction_array(kind: pa.DataType, entries: Sequence[LoggedEntry], unanswered: np.ndarray) -> pa.Array:
    import pyarrow as pa

    nothing: Any = "" if kind == pa.string() else 0
    parts = [[nothing] * each.logged_rows if each.prediction is None else each.prediction for each in entries]
    if kind == pa.string():
        return texts([value for part in parts for value in part], unanswered)
    if kind == pa.bool_():
        return truths(np.concatenate(parts).astype(np.bool_, copy=False), unanswered)
    values = np.concatenate(parts).astype(np.int64 if kind == pa.int64() else np.float64, copy=False)
    return numbers(values, kind, unanswered)


def _probabilities_array(kind: pa.DataType, entries: Sequence[LoggedEntry], unanswered: np.ndarray) -> pa.Array:
    import pyarrow as pa

    if not isinstance(kind, pa.FixedSizeListType):
        return pa.nulls(len(unanswered), kind)
    parts = [
        np.zeros((each.logged_rows, kind.list_size), np.float32) if each.probabilities is None else each.probabilities
        for each in entries
    ]
    return lists(numbers(np.concatenate(parts).ravel(), pa.float32()), kind, unanswered)
