"""Write Arrow tables to a file, one after the other. Knows nothing of what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import orjson


class Writer(Protocol):
    """A file that grows table by table."""

    schema: Any
    """The `pyarrow.Schema` of every table."""

    def write(self, table: Any) -> None:
        """Add rows."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...


class ParquetWriter:
    """Write Parquet, one row group a table."""

    def __init__(self, path: Path, schema: Any) -> None:
        from pyarrow import parquet

        self.schema = schema
        self._writer = parquet.ParquetWriter(path, schema)

    def write(self, table: Any) -> None:
        """Add rows."""
        self._writer.write_table(table)

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()


class CsvWriter:
    """Write CSV with a header; a missing value is an empty cell."""

    def __init__(self, path: Path, schema: Any) -> None:
        from pyarrow import csv

        self.schema = schema
        self._writer = csv.CSVWriter(path, schema, write_options=csv.WriteOptions(quoting_style="needed"))

    def write(self, table: Any) -> None:
        """Add rows."""
        self._writer.write_table(table)

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()


class JsonLinesWriter:
    """Write one JSON object a row; a missing value is null."""

    def __init__(self, path: Path, schema: Any) -> None:
        self.schema = schema
        self._file = path.open("wb")

    def write(self, table: Any) -> None:
        """Add rows."""
        for record in table.to_pylist():
            self._file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE, default=str))

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


WRITERS: Mapping[str, type[Writer]] = {
    ".csv": CsvWriter,
    ".parquet": ParquetWriter,
    ".jsonl": JsonLinesWriter,
    ".ndjson": JsonLinesWriter,
}
