"""Rows of a query, kept as Parquet lots while they are typed: a database is asked once. Knows no database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from components.data.rows import Piece
from components.errors import SchemaError

PLACE = "the query"


@dataclass(frozen=True)
class SqlReader:
    """Gives the lots that `land` wrote."""

    lots: Sequence[Path]
    is_text: bool = False
    may_lack_columns: bool = False

    def schemas(self) -> Iterator[tuple[str, pl.Schema]]:
        """Give each lot's types."""
        for lot in self.lots:
            yield PLACE, pl.scan_parquet(lot).collect_schema()

    def pieces(self, names: Sequence[str]) -> Iterator[Piece]:
        """Give the rows lot by lot."""
        first_row = 0
        for lot in self.lots:
            frame = pl.read_parquet(lot, columns=list(names), memory_map=False)
            yield Piece(PLACE, first_row, frame)
            first_row += frame.height


def land(names: Sequence[str], lots: Iterable[Sequence[tuple[Any, ...]]], folder: Path) -> SqlReader:
    """Write the rows into `folder`, and return their reader.

    Raises:
        SchemaError: a column holds values of several types.
    """
    paths: list[Path] = []
    first_row = 0
    for number, lot in enumerate(lots):
        columns = [_column(name, [row[i] for row in lot], first_row) for i, name in enumerate(names)]
        paths.append(folder / f"{number:06d}.parquet")
        pl.DataFrame(columns).write_parquet(paths[-1], compression="lz4")
        first_row += len(lot)
    if not paths:
        raise SchemaError(f"{PLACE} gives no rows; nothing was written")
    return SqlReader(paths)


def _column(name: str, values: list[Any], first_row: int) -> pl.Series:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        values = [None if value is None else float(value) for value in values]
    elif len(kinds) > 1:
        words = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise SchemaError(f"{PLACE}, after row {first_row}: column `{name}` holds {words}; CAST it in `source.query`")
    try:
        return pl.Series(name, values, strict=True)
    except (pl.exceptions.PolarsError, TypeError, OverflowError) as error:
        found = next(iter(kinds)).__name__
        raise SchemaError(f"{PLACE}: column `{name}` holds {found} values; CAST it in `source.query`") from error
