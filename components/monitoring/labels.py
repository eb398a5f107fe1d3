"""True labels that came late, joined with the predictions that they belong to by the request's id. Measures nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.errors import SourceError
from components.monitoring.log_files import LogWindow, answered_rows, collect

if TYPE_CHECKING:
    import polars as pl

_COLUMNS = ("id", "label")


@dataclass(frozen=True)
class Labelled:
    """Predictions of one version whose labels are known."""

    label: NDArray[Any]
    """Places in the signature's classes, or numbers: of shape (n_rows,)."""
    predicted: NDArray[Any]
    """Likewise."""
    probabilities: NDArray[np.float64]
    """Of shape (n_rows, n_classes); without columns for a regression."""

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self.label)


def read_labels(paths: Sequence[Path]) -> pl.DataFrame:
    """Return the labels of all files, as texts in the columns `id` and `label`; of one id the last one counts.

    Args:
        paths: CSV, Parquet or JSON-lines files, as their endings say.

    Raises:
        SourceError: a file is missing, is none of these, or lacks a column.
    """
    import polars as pl

    found = [pl.DataFrame(schema=dict.fromkeys(_COLUMNS, pl.String)), *map(_read, paths)]
    return pl.concat(found).drop_nulls().unique("id", keep="last", maintain_order=True)


def join_labels(
    window: LogWindow, paths: Sequence[Path], labels: pl.DataFrame, classes: Sequence[str | int | bool]
) -> Labelled:
    """Return a version's labelled predictions of a window.

    A label belongs to a request; one that asked for several rows at once has no prediction of its own, and is left out.

    Raises:
        SourceError: a label is none that the model could give.
        DigestMismatchError: a file of the log is damaged.
        InfrastructureError: the log cannot be read.
    """
    import polars as pl

    rows = answered_rows(window.scan(paths))
    wanted = labels.lazy().rename({"id": "request_id"})
    several = collect(
        rows.filter(pl.col("row") > 0).select("request_id").join(wanted, on="request_id", how="semi").unique(),
        window.folder,
    )
    kept = ["request_id", "prediction", *(["probabilities"] if classes else [])]
    found = collect(
        rows.filter(pl.col("row") == 0)
        .select(kept)
        .join(wanted, on="request_id", how="inner")
        .join(several.lazy(), on="request_id", how="anti"),
        window.folder,
    )
    if not classes:
        return Labelled(_numbers(found["label"]), found["prediction"].to_numpy(), np.empty((found.height, 0)))
    width = len(classes)
    probabilities = np.asarray(found["probabilities"].to_list(), dtype=np.float64).reshape(-1, width)
    return Labelled(_places(found["label"], classes), _places(found["prediction"], classes), probabilities)


def _read(path: Path) -> pl.DataFrame:
    import polars as pl

    readers = {
        ".csv": lambda: pl.read_csv(path, infer_schema=False),
        ".parquet": lambda: pl.read_parquet(path, glob=False, hive_partitioning=False),
        ".jsonl": lambda: pl.read_ndjson(path, infer_schema_length=None),
    }
    reader = readers.get(path.suffix)
    if reader is None:
        raise SourceError(f"labels {path}: expected a CSV, Parquet or JSON-lines file by its ending")
    try:
        return reader().select(pl.col(name).cast(pl.String) for name in _COLUMNS)
    except (OSError, pl.exceptions.PolarsError) as error:
        words = " ".join(str(error).split())[:200]
        raise SourceError(f"labels {path} cannot be read: {words}; expected the columns id and label") from error


def _places(column: pl.Series, classes: Sequence[str | int | bool]) -> NDArray[np.int64]:
    import polars as pl

    places = {_text(each): place for place, each in enumerate(classes)}
    texts = column.cast(pl.String)
    found = texts.replace_strict(places, default=None, return_dtype=pl.Int64)
    if strange := texts.filter(found.is_null()).head(1).to_list():
        known = ", ".join(list(places)[:8])
        raise SourceError(f"label {strange[0]!r} is no class of this model; expected one of {known}")
    return found.to_numpy()


def _text(label: str | int | bool) -> str:
    return str(label).lower() if isinstance(label, bool) else str(label)


def _numbers(column: pl.Series) -> NDArray[np.float64]:
    import polars as pl

    numbers = column.cast(pl.Float64, strict=False)
    if strange := column.filter(numbers.is_null() | ~numbers.is_finite().fill_null(value=True)).head(1).to_list():
        raise SourceError(f"label {strange[0]!r} is no number; this model predicts one")
    return numbers.to_numpy()
