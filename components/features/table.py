"""Read an ingested table in batches, after checking that its bytes are those of its manifest. Knows no feature."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.errors import SchemaError, SourceError
from components.runtime.arrow_arrays import nulls
from components.stage.files import require_digest
from components.types.dataset import MANIFEST_FILE, TABLE_FILE, DatasetManifest
from components.types.record import read

BATCH_ROWS = 65_536
"""How many rows are in memory at once; part of what makes sums the same from run to run."""


class DatasetTable:
    """The table of a model, read in batches that are the same from run to run."""

    def __init__(self, directory: Path) -> None:
        """Read the manifest in `directory`, and check the table's digest.

        Raises:
            SourceError: there is no manifest, or it cannot be used.
            DigestMismatchError: the table's bytes are others.
        """
        try:
            self.manifest = read(DatasetManifest, directory / MANIFEST_FILE)
        except (OSError, ValueError) as error:
            raise SourceError(f"{directory / MANIFEST_FILE} cannot be used ({error}); run the ingest stage") from error
        self.path = directory / TABLE_FILE
        require_digest(self.path, self.manifest.digest)
        if not self.manifest.rows:
            raise SchemaError(f"{self.path} has no rows; nothing can be learned from it")

    @property
    def schema(self) -> Any:
        """The table's Arrow schema."""
        return pq.read_schema(self.path)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[tuple[int, Any]]:
        """Yield the number of its first row and a `pyarrow.RecordBatch`, for each batch in order."""
        first_row = 0
        with pq.ParquetFile(self.path, pre_buffer=False) as file:  # buffering ahead would hold the whole file
            for batch in file.iter_batches(BATCH_ROWS, columns=None if columns is None else list(columns)):
                yield first_row, batch
                first_row += batch.num_rows

    def column(self, name: str) -> Any:
        """Return one whole column as a `pyarrow.Array`.

        Raises:
            SchemaError: a value is missing.
        """
        chunks = []
        for first_row, batch in self.batches([name]):
            values = batch.column(0)
            if values.null_count:
                row = first_row + int(np.argmax(nulls(values)))
                raise SchemaError(f"{self.path}: column `{name}` is missing in row {row}; it must not be")
            chunks.append(values)
        return pa.concat_arrays(chunks)
