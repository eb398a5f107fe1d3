"""Turn rows of a prepared split into columns of tf.train.Example values. Knows pyarrow and numpy, and no TensorFlow.

A row's value becomes a list of one value, an image a list of all its pixels, a missing value a missing list; so a
zero, a False and an empty string stay what they are (the encoder of lists cannot take them for missing). Numbers that
float32 holds too coarsely have their bits beside them (`components.training.tfx.exact`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.errors import SchemaError
from components.training.tfx.exact import exact_name
from components.types.dataset import ColumnType
from components.types.product import InputSpec
from components.types.training import PreparedSpec

BATCH_VALUES = 4_000_000
"""How many values are in memory at once, whatever a row holds."""


def example_batches(path: Path, spec: PreparedSpec, exact: Collection[str] = ()) -> Iterator[Any]:
    """Give the rows of a prepared split in their order, as record batches of lists.

    Args:
        path: ``<split>.parquet`` of the prepared data.
        spec: Says which columns are raw inputs, the label and the id.
        exact: Columns of numbers whose bits travel beside them.

    Raises:
        SchemaError: a column is missing, or cannot become what its input is.
    """
    file = pq.ParquetFile(path)
    columns = [*(name for each in spec.inputs for name in each.columns), spec.label_column, spec.id_column]
    if absent := sorted(set(columns) - set(file.schema_arrow.names)):
        raise SchemaError(f"{path}: column `{absent[0]}` is missing; delete {path.parent} and prepare again")
    rows = max(BATCH_VALUES // len(columns), 1)
    for batch in file.iter_batches(batch_size=rows, columns=list(dict.fromkeys(columns))):
        yield example_columns(batch, spec, exact)


def example_columns(batch: Any, spec: PreparedSpec, exact: Collection[str] = ()) -> Any:
    """Return a record batch with one list per row for each raw input, the label and the id, by their own names.

    Raises:
        SchemaError: a column cannot become what its input is.
    """
    lists = {each.name: _input(batch, each) for each in spec.inputs}
    lists[spec.label_column] = _single_values(_plain(batch, spec.label_column), label_type(spec), spec.label_column)
    lists[spec.id_column] = _single_values(_plain(batch, spec.id_column), ColumnType.STRING, spec.id_column)
    lists |= {exact_name(name): _bits(_plain(batch, name), name) for name in exact}
    return pa.RecordBatch.from_arrays(list(lists.values()), list(lists))


def label_type(spec: PreparedSpec) -> ColumnType:
    """Return the type of the label column: the classes' own, or float64 for regression."""
    if not spec.classes:
        return ColumnType.FLOAT64
    kinds = {bool: ColumnType.BOOL, int: ColumnType.INT64, str: ColumnType.STRING}
    return kinds[type(spec.classes[0])]


def _input(batch: Any, spec: InputSpec) -> Any:
    if not spec.shape:
        return _single_values(_plain(batch, spec.name), spec.type, spec.name)
    pixels = [_values(_plain(batch, name), spec.type, name) for name in spec.columns]
    matrix = np.stack([np.asarray(each) for each in pixels], axis=1)
    offsets = np.arange(0, matrix.size + 1, matrix.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(matrix.reshape(-1)))


def _plain(batch: Any, name: str) -> Any:
    array = batch.column(batch.schema.get_field_index(name))
    return array.cast(array.type.value_type) if pa.types.is_dictionary(array.type) else array


def _single_values(array: Any, kind: ColumnType, name: str) -> Any:
    """Return a list of one value for each value, and a missing list for each missing one."""
    values = _values(array, kind, name)
    present = np.asarray(pc.is_valid(values).cast(pa.int8()))
    ends = np.concatenate([[0], np.cumsum(present, dtype=np.int64)]).astype(np.int32)
    missing = np.concatenate([present == 0, [False]])
    return pa.ListArray.from_arrays(pa.array(ends, mask=missing), values.drop_null())


def _values(array: Any, kind: ColumnType, name: str) -> Any:
    return _numbers(array, name) if kind is ColumnType.FLOAT64 else _exact(array, kind, name)


def _numbers(array: Any, name: str) -> Any:
    """Return float32 values, which is all that tf.train.Example has."""
    return _wide(array, name).cast(pa.float32(), safe=False)


def _wide(array: Any, name: str) -> Any:
    """Return float64 values; NaN is missing."""
    try:
        values = array.cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SchemaError(f"column `{name}` is {array.type}, and cannot become a number: {error}") from error
    return pc.if_else(pc.is_nan(values), pa.scalar(None, pa.float64()), values)


def _bits(array: Any, name: str) -> Any:
    """Return a list of one int64 for each value: the bits of the float64."""
    exact = array.cast(pa.float64()).fill_null(float("nan"))
    values = np.frombuffer(exact.buffers()[1], np.int64, count=exact.offset + len(exact))[exact.offset :]
    return _single_values(pa.array(values), ColumnType.INT64, name)


def _exact(array: Any, kind: ColumnType, name: str) -> Any:
    try:
        if kind is ColumnType.STRING:
            return array.cast(pa.string()).cast(pa.binary())
        return array.cast(pa.int64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SchemaError(f"column `{name}` is {array.type}, and cannot become {kind.value}: {error}") from error
