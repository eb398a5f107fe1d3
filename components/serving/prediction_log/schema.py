"""The columns of a logged version, and entries as rows of them. Knows nothing of files or queues.

The only module of the log that knows Arrow; imported by the writer's thread alone, except for `input_column`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from components.runtime.protocol import PREDICTION, PROBABILITIES
from components.types.dataset import MISSING_STRING, ColumnType
from components.types.product import InputSpec, Signature

if TYPE_CHECKING:
    import pyarrow as pa

    from components.serving.prediction_log.log import Entry
    from components.serving.served_model import ServedModel

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


def make_schema(model: ServedModel) -> pa.Schema:
    """Return the typed columns of one version's files."""
    import pyarrow as pa

    signature = model.signature
    fields = [pa.field(input_column(spec.name), _input_type(spec)) for spec in signature.inputs]
    fields += [
        pa.field(PREDICTION, _prediction_type(signature)),
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
        "model": model.ref.model,
        "version": model.ref.version,
        "digest": model.ref.digest,
        "task": signature.task.value,
        "classes": signature.classes,
    }
    return pa.schema(fields, metadata={METADATA_KEY: json.dumps(about).encode()})


def make_rows(schema: pa.Schema, entries: Sequence[Entry]) -> pa.RecordBatch:
    """Return entries of one version as rows; the arrays are copies, so the requests' own may go."""
    import pyarrow as pa

    model = entries[0].model
    arrays: list[Any] = []
    for spec in model.signature.inputs:
        values = _joined([each.tensors[spec.name][:: each.step] for each in entries])
        arrays.append(_input_array(spec, values, schema.field(len(arrays)).type))
    arrays.append(_prediction_array(schema.field(PREDICTION).type, entries))
    arrays.append(_probabilities_array(schema.field(PROBABILITIES).type, entries))
    counts = np.array([each.logged_rows for each in entries])
    arrays += [
        pa.array(np.repeat(_times(entries), counts), pa.timestamp("us", tz="UTC")),
        _repeated([each.request_id for each in entries], counts, pa.string()),
        pa.array(np.concatenate([np.arange(0, each.rows, each.step, dtype=np.int32) for each in entries])),
        pa.array(np.repeat(np.array([each.user for each in entries], np.uint64), counts)),
        pa.array(np.full(counts.sum(), model.ref.version, np.int32)),
        _repeated([model.ref.digest] * len(entries), counts, pa.string()),
        _repeated([each.role.value if each.role else "" for each in entries], counts, pa.string()),
        pa.array(np.repeat(np.array([each.rev for each in entries], np.int64), counts)),
        pa.array(np.repeat(np.array([each.seconds * 1_000 for each in entries], np.float32), counts)),
        pa.array(np.repeat(np.array([each.status for each in entries], np.int16), counts)),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


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


def _prediction_type(signature: Signature) -> pa.DataType:
    if not signature.classes:
        return _plain_type(ColumnType.FLOAT64)
    label = signature.classes[0]
    if isinstance(label, bool):
        return _plain_type(ColumnType.BOOL)
    return _plain_type(ColumnType.INT64 if isinstance(label, int) else ColumnType.STRING)


def _input_array(spec: InputSpec, values: np.ndarray, kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    if not spec.shape:
        return _plain_array(spec.type, values, kind)
    flat = _plain_array(spec.type, values.ravel(), kind.value_type)
    return pa.FixedSizeListArray.from_arrays(flat, type=kind)


def _plain_array(column: ColumnType, values: np.ndarray, kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    if column is ColumnType.STRING:
        return pa.array([None if text == MISSING_STRING else text for text in values.tolist()], kind)
    return pa.array(values, kind, from_pandas=column is ColumnType.FLOAT64)  # NaN stands for a missing value


def _prediction_array(kind: pa.DataType, entries: Sequence[Entry]) -> pa.Array:
    import pyarrow as pa

    values: list[Any] = []
    for each in entries:
        found = [None] * each.logged_rows if each.outputs is None else each.outputs[PREDICTION][:: each.step].tolist()
        values += found
    return pa.array(values, kind)


def _probabilities_array(kind: pa.DataType, entries: Sequence[Entry]) -> pa.Array:
    import pyarrow as pa

    n_rows = sum(each.logged_rows for each in entries)
    if not isinstance(kind, pa.FixedSizeListType):
        return pa.nulls(n_rows, kind)
    parts, missing = [], []
    for each in entries:
        if each.outputs is None:
            parts.append(np.zeros((each.logged_rows, kind.list_size), np.float32))
        else:
            parts.append(each.outputs[PROBABILITIES][:: each.step])
        missing.append(np.full(each.logged_rows, each.outputs is None))
    flat = pa.array(np.concatenate(parts).ravel(), pa.float32())
    mask = np.concatenate(missing)
    return pa.FixedSizeListArray.from_arrays(flat, type=kind, mask=pa.array(mask) if mask.any() else None)


def _times(entries: Sequence[Entry]) -> np.ndarray:
    return np.array([round(each.time_s * 1e6) for each in entries], np.int64).view("datetime64[us]")


def _repeated(values: list[str], counts: np.ndarray, kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    made = pa.array(values, kind)
    return made if counts.max() == 1 else made.take(pa.array(np.repeat(np.arange(len(values)), counts)))


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts)  # a copy also of a single one
