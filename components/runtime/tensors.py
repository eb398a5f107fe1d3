"""Make a product's input tensors from rows of a table. Knows no graph; the only part here that knows pyarrow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa

from components.errors import SchemaError
from components.runtime.arrow_arrays import booleans, floats, nulls, numbers, texts
from components.runtime.batch import check_numbers, missing_message
from components.runtime.protocol import Tensor
from components.types.dataset import MISSING_STRING, ColumnType
from components.types.product import InputSpec

if TYPE_CHECKING:
    import polars

    Table: TypeAlias = pa.RecordBatch | pa.Table | polars.DataFrame

_ACCEPTED: Mapping[ColumnType, tuple[Callable[[Any], bool], ...]] = {
    ColumnType.FLOAT64: (pa.types.is_floating, pa.types.is_integer, pa.types.is_boolean, pa.types.is_decimal),
    ColumnType.INT64: (pa.types.is_integer, pa.types.is_floating),
    ColumnType.BOOL: (pa.types.is_boolean,),
    ColumnType.STRING: (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
}
_ARROW: Mapping[ColumnType, Any] = {
    ColumnType.FLOAT64: pa.float64(),
    ColumnType.INT64: pa.int64(),
    ColumnType.BOOL: pa.bool_(),
    ColumnType.STRING: pa.string(),
}


def input_tensors(batch: Table, inputs: Sequence[InputSpec], first_row: int = 0) -> dict[str, Tensor]:
    """Return one array per input, of shape (n_rows, *spec.shape).

    Missing values become NaN or `MISSING_STRING`; numbers of another width are converted where nothing is lost, text is
    never parsed. Columns that no input uses are ignored.

    Args:
        batch: Rows of a table.
        inputs: What a product, or its preprocessing, takes.
        first_row: The number of the batch's first row, for messages.

    Raises:
        SchemaError: a column is missing or of another type, or holds a value that its input may not hold.
    """
    table: Any = batch.to_arrow() if hasattr(batch, "to_arrow") else batch
    names = set(table.schema.names)
    tensors = {}
    for spec in inputs:
        if absent := [column for column in spec.columns if column not in names]:
            raise SchemaError(f"column `{absent[0]}` is missing; expected: {', '.join(spec.columns)}")
        columns = [_column(table.column(name), name, spec, first_row) for name in spec.columns]
        if spec.shape:
            tensors[spec.name] = np.stack(columns, axis=1).reshape(-1, *spec.shape)
        else:
            tensors[spec.name] = columns[0]
    return tensors


def _column(column: Any, name: str, spec: InputSpec, first_row: int) -> Tensor:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    named = InputSpec(name, spec.type, (), spec.nullable, (name,))
    if not (pa.types.is_null(array.type) or any(accepts(array.type) for accepts in _ACCEPTED[spec.type])):
        raise SchemaError(f"column `{name}` is {array.type}, expected {spec.type.value}")
    if array.null_count and not spec.nullable:
        raise SchemaError(missing_message(named, first_row + int(np.argmax(nulls(array)))))
    return _values(array, named, first_row)


def _values(array: Any, spec: InputSpec, first_row: int) -> Tensor:
    try:
        array = array.cast(_ARROW[spec.type])
    except pa.ArrowInvalid as error:
        raise SchemaError(f"column `{spec.name}` cannot become {spec.type.value}: {error}") from error
    if spec.type is ColumnType.STRING:
        return texts(array, MISSING_STRING)
    if spec.type is ColumnType.BOOL:
        return booleans(array)
    if spec.type is ColumnType.INT64:
        return numbers(array)
    values = floats(array)
    if not np.isfinite(values).all():
        check_numbers(spec, values, first_row)
    return values
