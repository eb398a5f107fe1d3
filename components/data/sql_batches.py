"""SQL rows as batches: what of a window is new or changed, as one Parquet file, and all batches read as one table.

A row is known by its id. The same row again is no news; a changed one replaces what was taken before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from components.data.fetch import LocalFile
from components.data.parquet_reader import ParquetReader
from components.data.rows import Piece
from components.data.sql_reader import land
from components.errors import SchemaError

_PLACE = "the query's new rows"
_BATCH = "towpath_batch"
_KEY = "towpath_key"


def land_window(names: Sequence[str], lots: Iterable[Sequence[tuple[Any, ...]]], landing: Path) -> Sequence[Path]:
    """Write a window's rows into `landing`, and return the files; none where there are no rows.

    Raises:
        SchemaError: a column holds values of several types.
    """
    first = next(iter(lots := iter(lots)), None)
    return land(names, _chain(first, lots), landing).lots if first is not None else ()


def gives_all(landed: Sequence[Path], files: Sequence[LocalFile], id_column: str) -> bool:
    """Return whether a window's rows have every id that stands in the files of a batch."""
    if not landed:
        return False
    there = pl.concat([pl.scan_parquet(lot).select(_key(id_column)) for lot in landed])
    asked = pl.concat([pl.scan_parquet(file.path).select(_key(id_column)) for file in files])
    return asked.join(there, on=_KEY, how="anti").head(1).collect(engine="streaming").is_empty()


def news_of(landed: Sequence[Path], id_column: str, known: Sequence[LocalFile], landing: Path) -> LocalFile | None:
    """Write those of a window's rows that `known` does not hold just so, and return the file; None without any.

    Raises:
        SchemaError: a column holds values of several types.
    """
    if not landed:
        return None
    try:
        schema = pl.concat([pl.DataFrame(schema=pl.read_parquet_schema(lot)) for lot in landed], how="vertical_relaxed")
    except pl.exceptions.PolarsError as error:
        raise _other_type(error) from error
    target, rows = landing / "news.parquet", 0
    with pq.ParquetWriter(
        target, schema.to_arrow(compat_level=pl.CompatLevel.oldest()).schema, compression="zstd"
    ) as writer:
        for lot in landed:
            news = _news(pl.read_parquet(lot, memory_map=False).cast(schema.schema), id_column, known)
            rows += news.height
            if news.height:
                writer.write_table(news.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(writer.schema))
    return LocalFile(_PLACE, target) if rows else None


@dataclass(frozen=True)
class NewestRows:
    """Gives the rows of all batches, one batch after the other; of each id the last batch's."""

    files: Sequence[LocalFile]
    id_column: str
    is_text: bool = False
    may_lack_columns: bool = False

    def schemas(self) -> Iterator[tuple[str, pl.Schema]]:
        """Give each batch's types."""
        return ParquetReader(self.files).schemas()

    def pieces(self, names: Sequence[str]) -> Iterator[Piece]:
        """Give the rows that no later batch replaces."""
        asked = list(dict.fromkeys([*names, self.id_column]))
        for position, file in enumerate(self.files):
            replaced = self._replaced.filter(pl.col(_BATCH) > position).select(_KEY)
            for piece in ParquetReader([file]).pieces(asked):
                frame = piece.frame
                if replaced.height:
                    frame = frame.with_columns(_key(self.id_column)).join(replaced, on=_KEY, how="anti")
                yield Piece(piece.place, piece.first_row, frame.select(names))

    @cached_property
    def _replaced(self) -> pl.DataFrame:
        """The ids that stand in several batches, and the last batch of each."""
        ids = [
            pl.scan_parquet(file.path).select(_key(self.id_column), pl.lit(position).alias(_BATCH))
            for position, file in enumerate(self.files)
        ]
        batch = pl.col(_BATCH)
        several = pl.concat(ids).group_by(_KEY).agg(batch.max(), batch.n_unique().alias("batches"))
        return several.filter(pl.col("batches") > 1).select(_KEY, _BATCH).collect(engine="streaming")


def _news(lot: pl.DataFrame, id_column: str, known: Sequence[LocalFile]) -> pl.DataFrame:
    """Return the rows of a lot that are not, just as they are, the newest that is known of their id."""
    if not known:
        return lot
    keys = lot.select(_key(id_column))
    found = [
        pl.scan_parquet(file.path).with_columns(_key(id_column)).join(keys.lazy(), on=_KEY, how="semi").collect()
        for file in known
    ]
    columns = lot.columns
    try:
        before = pl.concat([frame for frame in found if frame.height] or found[:1], how="diagonal_relaxed")
        before = before.unique(_KEY, keep="last", maintain_order=True).drop(_KEY)
        if set(before.columns) != set(columns):
            return lot
        both = pl.concat([before.select(columns), lot], how="vertical_relaxed")
    except pl.exceptions.PolarsError as error:
        raise _other_type(error) from error
    old, now = both.head(before.height), both.tail(lot.height).with_row_index(_BATCH)
    fresh = now.join(old, on=columns, how="anti", nulls_equal=True, maintain_order="left")
    return lot[fresh[_BATCH]]


def _key(id_column: str) -> pl.Expr:
    return pl.col(id_column).cast(pl.String).alias(_KEY)


def _chain(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest


def _other_type(error: Exception) -> SchemaError:
    words = " ".join(str(error).split())[:200]
    return SchemaError(f"{_PLACE}: a column changes its type ({words}); CAST it in `source.query`")
