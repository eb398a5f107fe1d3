"""What a version was trained on, as counts per bin: the side of a comparison that must outlast the next training.

Made once, from the training rows and the version's own predictions on the test split (of a small one, on the train
split: fewer than 300 rows say nothing), bound to the product's digest and
the data's, and kept with the version. Holds no row, but the values of categories.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from components.errors import DigestMismatchError
from components.monitoring.bins import Bins, count_into, counts_of, find_bins
from components.types.dataset import ColumnType
from components.types.evaluation import Evaluation
from components.types.product import InputSpec
from components.types.training import PreparedSpec

if TYPE_CHECKING:
    import polars as pl

PROFILE_FILE = "reference.json"
PREDICTION = "prediction"
SAMPLE_ROWS = 1_000_000
"""Of a larger train split, every n-th row: an edge of a quantile needs no more."""


@dataclass(frozen=True)
class ColumnProfile:
    """One column of the training rows."""

    name: str
    type: ColumnType
    bins: Bins
    counts: tuple[int, ...]
    """Rows per bin; the last bin is for what is missing."""


@dataclass(frozen=True)
class ReferenceProfile:
    """A version's training rows and test predictions, counted (`PROFILE_FILE`)."""

    model: str
    product_digest: str
    dataset_digest: str
    rows: int
    columns: tuple[ColumnProfile, ...]
    prediction: ColumnProfile
    primary: str
    """The metric that chose the version."""
    metrics: Mapping[str, float]
    """Its values on the test split."""


def make_profile(prepared: Path, spec: PreparedSpec, evaluation: Evaluation, predictions: Path) -> ReferenceProfile:
    """Return the profile of a version from what its training left on disk.

    Args:
        prepared: What `prepare` wrote.
        spec: Its record.
        evaluation: Of the version's product, on the same data.
        predictions: What the product said of rows that it is held against.

    Raises:
        DigestMismatchError: the files are of another dataset, or damaged.
    """
    import polars as pl

    if evaluation.dataset_digest != spec.dataset_digest:
        raise DigestMismatchError(
            f"{prepared} holds data {spec.dataset_digest[:12]}, and the evaluation of {evaluation.training} is of "
            f"{evaluation.dataset_digest[:12]}; run {spec.model} again"
        )
    step = -(-spec.rows["train"] // SAMPLE_ROWS) or 1
    try:
        rows = pl.scan_parquet(prepared / "train.parquet", glob=False).gather_every(step)
        columns = tuple(_profile(rows, each.name, each.type, training_value(each)) for each in spec.inputs)
        answers = pl.scan_parquet(predictions, glob=False)
        kind = label_type(spec.classes)
        prediction = _profile(answers, PREDICTION, kind, pl.col(PREDICTION))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DigestMismatchError(
            f"{prepared} or {predictions} cannot be read ({error}); run {spec.model} again"
        ) from error
    return ReferenceProfile(
        model=spec.model,
        product_digest=evaluation.product_digest,
        dataset_digest=spec.dataset_digest,
        rows=sum(columns[0].counts) if columns else 0,
        columns=columns,
        prediction=prediction,
        primary=evaluation.primary,
        metrics={name: value.value for name, value in evaluation.test.metrics.items()},
    )


def training_value(spec: InputSpec) -> pl.Expr:
    """Return an input's value in a row of the train split; of an image, the mean of its pixels."""
    import polars as pl

    if spec.shape:
        return pl.mean_horizontal([pl.col(name).cast(pl.Float64) for name in spec.columns])
    return pl.col(spec.columns[0]).cast(_dtype(spec.type))


def label_type(classes: Sequence[str | int | bool]) -> ColumnType:
    """Return the type of a model's predictions."""
    if not classes:
        return ColumnType.FLOAT64
    if isinstance(classes[0], bool):
        return ColumnType.BOOL
    return ColumnType.INT64 if isinstance(classes[0], int) else ColumnType.STRING


def _profile(rows: pl.LazyFrame, name: str, kind: ColumnType, value: pl.Expr) -> ColumnProfile:
    import polars as pl

    column = rows.select(value.alias("value")).collect(engine="streaming")["value"]
    kind = ColumnType.FLOAT64 if column.dtype.is_float() else kind
    bins = find_bins(column, kind)
    sums = column.to_frame().select(count_into(bins, pl.col("value"), kind, "value")).row(0, named=True)
    return ColumnProfile(name, kind, bins, counts_of(bins, sums, "value", len(column)))


def _dtype(kind: ColumnType) -> type[pl.DataType]:
    import polars as pl

    return {
        ColumnType.FLOAT64: pl.Float64,
        ColumnType.INT64: pl.Int64,
        ColumnType.BOOL: pl.Boolean,
        ColumnType.STRING: pl.String,
    }[kind]
