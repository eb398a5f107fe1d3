"""Parquet files, read in batches that do not depend on the size of their row groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from components.data.fetch import LocalFile
from components.data.rows import Piece, piece_rows
from components.data.schema import check_names
from components.errors import SourceError

_BUFFER_BYTES = 2**20


@dataclass(frozen=True)
class ParquetReader:
    """Gives the rows of Parquet files, one file after the other."""

    files: Sequence[LocalFile]
    is_text: bool = False
    may_lack_columns: bool = False

    def schemas(self) -> Iterator[tuple[str, pl.Schema]]:
        """Give each file's types, from its footer."""
        for file in self.files:
            with self._open(file) as parquet:
                fields = list(parquet.schema_arrow)
            check_names([field.name for field in fields], file.place)
            yield file.place, pl.Schema({field.name: _dtype(field.type) for field in fields})

    def pieces(self, names: Sequence[str]) -> Iterator[Piece]:
        """Give the rows batch by batch."""
        for file in self.files:
            first_row = 0
            with self._open(file) as parquet:
                try:
                    for batch in parquet.iter_batches(piece_rows(len(names)), columns=list(names)):
                        batch.validate(full=True)  # a text may hold bytes that are not UTF-8
                        frame = pl.from_arrow(pa.Table.from_batches([batch]))
                        assert isinstance(frame, pl.DataFrame)
                        yield Piece(file.place, first_row, frame)
                        first_row += batch.num_rows
                except (pa.ArrowException, OSError) as error:
                    raise SourceError(f"{file.place} is damaged after row {first_row}: {_words(error)}") from error

    @staticmethod
    def _open(file: LocalFile) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(str(file.path), buffer_size=_BUFFER_BYTES, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{file.place} is not a Parquet file: {_words(error)}") from error


def _dtype(kind: pa.DataType) -> pl.DataType:
    """Return polars' type; one that it cannot hold is refused later, unless the column is dropped."""
    try:
        empty = pl.from_arrow(pa.array([], kind))
    except (pa.ArrowException, pl.exceptions.PolarsError, ValueError, TypeError):
        return pl.Object()
    return empty.dtype if isinstance(empty, pl.Series) else pl.Object()


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
