"""Files in folders such as ``day=2026-01-31``: what the folder says becomes a column. Knows no format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from components.data.batch_listing import partition_values
from components.data.rows import Piece, Reader


@dataclass(frozen=True)
class PartitionedReader:
    """Gives the rows of another reader with the columns that its folders name; the file's own come first."""

    reader: Reader

    @property
    def is_text(self) -> bool:
        """As the files are."""
        return self.reader.is_text

    @property
    def may_lack_columns(self) -> bool:
        """As the files may."""
        return self.reader.may_lack_columns

    def schemas(self) -> Iterator[tuple[str, pl.Schema]]:
        """Give each file's types, those of its folders included: they are text until `types` says otherwise."""
        for place, schema in self.reader.schemas():
            added = {name: pl.String() for name in partition_values(place) if name not in schema}
            yield place, pl.Schema({**schema, **added})

    def pieces(self, names: Sequence[str]) -> Iterator[Piece]:
        """Give the rows."""
        own = {name for _, schema in self.reader.schemas() for name in schema}
        asked = [name for name in names if name in own] or sorted(own)[:1]  # the number of rows comes from the file
        for piece in self.reader.pieces(asked):
            values = partition_values(piece.place)
            added = [
                pl.lit(values[name], pl.String()).alias(name) for name in names if name in values and name not in own
            ]
            yield Piece(piece.place, piece.first_row, piece.frame.with_columns(added))
