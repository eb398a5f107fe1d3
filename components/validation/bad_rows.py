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


def _values(table: Table, rows: list[int], columns: list[str]) -> dict[str, list[str | None]]:
    """Read some rows of some columns, as text."""
    import polars as pl

    wanted = pl.Series("row", rows, dtype=pl.UInt32)
    select = [pl.col(name).cast(pl.String).alias(f"c{place}") for place, name in enumerate(columns)]
    lazy = table.scan().select(pl.col(table.manifest.id_column).cast(pl.String).alias("id"), *select)
    lazy = lazy.with_row_index("__row").filter(pl.col("__row").is_in(wanted.implode())).sort("__row")
    return lazy.drop("__row").collect(engine="streaming").to_dict(as_series=False)
