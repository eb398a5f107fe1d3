"""Rows of a source in pieces, whatever the source is. Knows neither the configuration nor the table that comes out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import polars as pl

_PIECE_CELLS = 2**23
_PIECE_ROWS = 2**16


@dataclass(frozen=True)
class Piece:
    """Some rows that follow each other."""

    place: str
    """The file, table or query, as the configuration writes it."""
    first_row: int
    """The position of the first of them in that place, counted from 0."""
    frame: pl.DataFrame


class Reader(Protocol):
    """Reads a source as often as asked, in the same order each time, with bounded memory."""

    @property
    def is_text(self) -> bool:
        """Whether all values are text whose types are to be inferred."""
        ...

    @property
    def may_lack_columns(self) -> bool:
        """Whether a column that a piece does not have is missing there, rather than an error."""
        ...

    def schemas(self) -> Iterator[tuple[str, pl.Schema]]:
        """Give the types of all pieces, or of all places; cheaper than reading them where the source allows.

        Raises:
            SchemaError: names are missing or double.
            SourceError: the source cannot be read.
        """
        ...

    def pieces(self, names: Sequence[str]) -> Iterator[Piece]:
        """Give the rows, with these columns only.

        Raises:
            SchemaError: rows are not of one form.
            SourceError: the source cannot be read.
        """
        ...


@dataclass(frozen=True)
class FrameReader:
    """Gives a table that is in memory."""

    place: str
    frame: pl.DataFrame
    is_text: bool = False
    may_lack_columns: bool = False

    def schemas(self) -> Iterator[tuple[str, pl.Schema]]:
        """Give the table's types."""
        yield self.place, self.frame.schema

    def pieces(self, names: Sequence[str]) -> Iterator[Piece]:
        """Give the whole table at once."""
        yield Piece(self.place, 0, self.frame.select(names))


def piece_rows(n_columns: int) -> int:
    """Return how many rows of so many columns are read at once."""
    return max(1, min(_PIECE_ROWS, _PIECE_CELLS // max(1, n_columns)))
