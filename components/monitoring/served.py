"""The rows that one version served: counted into its profile's bins, and a spread of them as a file. Judges nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from components.monitoring.bins import count_into, counts_of
from components.monitoring.log_files import LogWindow, answered_rows, collect
from components.monitoring.profile import PREDICTION, ColumnProfile, ReferenceProfile
from components.types.product import InputSpec

if TYPE_CHECKING:
    import polars as pl

_ROWS = "rows"


@dataclass(frozen=True)
class ServedVersion:
    """A version and where its rows are."""

    version: int
    paths: tuple[Path, ...]
    inputs: tuple[InputSpec, ...]
    columns: Mapping[str, str]
    """The log's column of each input, by the input's name."""


@dataclass(frozen=True)
class ServedCounts:
    """How many served rows each bin of a profile has."""

    rows: int
    columns: Mapping[str, tuple[int, ...]]
    """By input."""
    prediction: tuple[int, ...]


def count_served(window: LogWindow, served: ServedVersion, profile: ReferenceProfile) -> ServedCounts:
    """Return a version's served rows, counted in one pass over its files.

    Raises:
        DigestMismatchError: a file is damaged, or is not of this version.
        InfrastructureError: the log cannot be read.
    """
    import polars as pl

    rows = answered_rows(window.scan(served.paths))
    shaped = {each.name: each for each in served.inputs}
    sums: list[pl.Expr] = [pl.len().alias(_ROWS)]
    for place, column in enumerate(profile.columns):
        value = logged_value(shaped[column.name], served.columns[column.name], rows)
        sums += count_into(column.bins, value, column.type, str(place))
    sums += count_into(profile.prediction.bins, pl.col(PREDICTION), profile.prediction.type, PREDICTION)
    found = collect(rows.select(sums), window.folder).row(0, named=True)
    total = int(found[_ROWS])

    def counts(column: ColumnProfile, name: str) -> tuple[int, ...]:
        return counts_of(column.bins, found, name, total)

    return ServedCounts(
        rows=total,
        columns={each.name: counts(each, str(place)) for place, each in enumerate(profile.columns)},
        prediction=counts(profile.prediction, PREDICTION),
    )


def logged_value(spec: InputSpec, column: str, rows: pl.LazyFrame) -> pl.Expr:
    """Return an input's value in a row of the log; of an image, the mean of its pixels."""
    import polars as pl

    if not spec.shape:
        return pl.col(column)
    is_array = isinstance(rows.collect_schema()[column], pl.Array)
    return pl.col(column).arr.mean() if is_array else pl.col(column).list.mean()


def write_spread(window: LogWindow, served: ServedVersion, rows: int, most: int, path: Path) -> int:
    """Write at most `most` of a version's `rows` served rows, evenly spread, under the inputs' own names.

    An image has no column in a suite: it is left out.

    Returns:
        How many rows were written.

    Raises:
        DigestMismatchError: a file is damaged.
        InfrastructureError: the log cannot be read.
    """
    import polars as pl

    plain = [pl.col(served.columns[each.name]).alias(each.name) for each in served.inputs if not each.shape]
    step = -(-rows // most) or 1
    spread = answered_rows(window.scan(served.paths)).select(plain).gather_every(step)
    found = collect(spread, window.folder)
    found.write_parquet(path)
    return found.height
