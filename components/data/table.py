"""Write a table as Parquet whose bytes depend on its rows alone. Knows no source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from components.types.dataset import ColumnType

_ARROW: dict[ColumnType, pa.DataType] = {
    ColumnType.FLOAT64: pa.float64(),
    ColumnType.INT64: pa.int64(),
    ColumnType.BOOL: pa.bool_(),
    ColumnType.STRING: pa.string(),
    ColumnType.TIMESTAMP: pa.timestamp("us"),
}
_GROUP_CELLS = 2**23
_GROUP_ROWS = 2**17


class TableWriter:
    """Writes frames one after the other; row groups have one size, however the rows arrived."""

    def __init__(self, path: Path, types: Mapping[str, ColumnType]) -> None:
        """Open the file for columns of these types, in this order."""
        self._schema = pa.schema([(name, _ARROW[kind]) for name, kind in types.items()])
        repeating = [name for name, kind in types.items() if kind not in (ColumnType.FLOAT64, ColumnType.TIMESTAMP)]
        self._file = pq.ParquetWriter(path, self._schema, compression="zstd", use_dictionary=repeating)
        self._group_rows = max(1, min(_GROUP_ROWS, _GROUP_CELLS // len(types)))
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self.rows = 0

    def write(self, frame: pl.DataFrame) -> None:
        """Add rows; the frame's columns are those of the table, in any order."""
        table = frame.select(self._schema.names).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(self._schema)
        self._waiting.append(table)
        self._waiting_rows += table.num_rows
        self.rows += table.num_rows
        while self._waiting_rows >= self._group_rows:
            self._write_group(self._group_rows)

    def close(self) -> None:
        """Write what is left and close the file."""
        if self._waiting_rows:
            self._write_group(self._waiting_rows)
        self._file.close()

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file; after an error, as it is."""
        if kind is None:
            self.close()
        else:
            self._file.close()

    def _write_group(self, rows: int) -> None:
        waiting = pa.concat_tables(self._waiting)
        self._file.write_table(waiting.slice(0, rows).combine_chunks(), row_group_size=rows)
        rest = waiting.slice(rows)
        self._waiting, self._waiting_rows = ([rest], rest.num_rows) if rest.num_rows else ([], 0)
