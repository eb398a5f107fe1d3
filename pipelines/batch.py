"""Predict a file by a registered version, with a progress bar. Loads no model itself."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from components.errors import SourceError
from components.serving.predict import predict_file
from components.types.product import ProductRef
from pipelines.config import load_model
from pipelines.placement import stable_placement


@dataclass(frozen=True)
class BatchPrediction:
    """What was written."""

    version: int
    rows: int
    output: Path


def predict_batch(
    model: str, source: Path, output: Path | None, version: int | None, root: Path = Path()
) -> BatchPrediction:
    """Predict every row of a file by the stable version, or another registered one.

    Raises:
        UnknownNameError: there is no such model or version.
        SourceError: the file is not there.
        SchemaError: a row or column is not what the product takes; nothing is written.
    """
    load_model(model, root)
    if not source.is_file():
        raise SourceError(f"{source} is no file; give a CSV, Parquet or JSON-lines file of rows to predict")
    placed = stable_placement(model, root, version)
    product = ProductRef(placed.directory, placed.ref.digest, placed.runtime)
    target = output or source.with_name(f"{source.stem}.predictions{source.suffix}")
    shown = sys.stderr.isatty()

    def progress(rows: int) -> None:
        if shown:
            sys.stderr.write(f"\r{rows:,} rows")
            sys.stderr.flush()

    rows = predict_file(product, source, target, progress=progress)
    if shown:
        sys.stderr.write("\n")
    return BatchPrediction(placed.ref.version, rows, target)
