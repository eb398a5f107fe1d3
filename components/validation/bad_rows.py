"""Fetch the rows at fault: ids and values, for the report alone; they never enter a verdict, a log or a message."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from components.validation.checks import BadRows
from components.validation.table import Table

if TYPE_CHECKING:
    import polars as pl

BAD_ROWS_FILE = "bad_rows.csv"


def bad_rows(table: Table, found: list[BadRows]) -> pl.DataFrame:
    """Return one line per rule, row and column: ``rule``, ``row``, ``id``, ``column``, ``value``, all text but row."""
    import polars as pl

    schema = {"rule": pl.String, "row": pl.Int64, "id": pl.String, "column": pl.String, "value": pl.String}
    rows = sorted({row for each in found for row in each.rows})
    columns = sorted({name for each in found for name in each.columns})
    if not rows or not columns:
        return pl.DataFrame(schema=schema)
    values = _values(table, rows, columns)
    place = {row: index for index, row in enumerate(rows)}
    lines = [
        (each.rule, row, values["id"][place[row]], name, values[f"c{columns.index(name)}"][place[row]])
        for each in found
        for row in each.rows
        for name in each.columns
    ]
    return pl.DataFrame(lines, schema=schema, orient="row")


def write_bad_rows(path: Path, frame: pl.DataFrame) -> None:
    """Write the rows at fault as CSV, which every spreadsheet opens."""
    frame.write_csv(path, null_value="")


def _values(table: Table, rows: list[int], columns: list[str]) -> pl.DataFrame:
    """Read some rows of some columns as text, in the rows' order; only the row groups they stand in are read."""
    import polars as pl
    import pyarrow.parquet as pq

    file = pq.ParquetFile(table.path)
    id_column = table.manifest.id_column
    select = [pl.col(id_column).cast(pl.String).alias("id")]
    select += [pl.col(name).cast(pl.String).alias(f"c{place}") for place, name in enumerate(columns)]
    parts, start = [], 0
    for group in range(file.num_row_groups):
        end = start + file.metadata.row_group(group).num_rows
        if wanted := [row - start for row in rows if start <= row < end]:
            read = file.read_row_group(group, columns=list({id_column, *columns}))
            parts.append(pl.DataFrame(pl.from_arrow(read.take(wanted))).select(select))
        start = end
    return pl.concat(parts)
