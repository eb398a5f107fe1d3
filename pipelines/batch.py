"""Predict a file by a registered version, here or where the model's runner says, with a progress bar."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from components.errors import SourceError
from components.serving.predict import Scoring, predict_file
from components.training.core.runner import PREDICTION, chosen_kind
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
        ConfigError: ``TOWPATH_RUNNER`` names no place, or no node of the cluster is large enough.
        InfrastructureError: it was to run on a cluster, and that failed; nothing is written.
    """
    config = load_model(model, root)
    if not source.is_file():
        raise SourceError(f"{source} is no file; give a CSV, Parquet or JSON-lines file of rows to predict")
    placed = stable_placement(model, root, version)
    product = ProductRef(placed.directory, placed.ref.digest, placed.runtime)
    target = output or source.with_name(f"{source.stem}.predictions{source.suffix}")
    place = config.model.runner
    elsewhere: Scoring | None = None
    if chosen_kind(place, PREDICTION) == "ray":
        from components.cluster.capacity import Request
        from components.serving.cluster_scoring import ClusterScoring

        asked = place.resources_of(PREDICTION)
        request = Request(asked.cpus or 1.0, asked.gpus, asked.memory_bytes)
        elsewhere = ClusterScoring(product, source, request, f"models.{model}.runner.resources.{PREDICTION}")
    shown = sys.stderr.isatty()

    def progress(rows: int) -> None:
        if shown:
            sys.stderr.write(f"\r{rows:,} rows")
            sys.stderr.flush()

    rows = predict_file(product, source, target, progress=progress, elsewhere=elsewhere)
    if shown:
        sys.stderr.write("\n")
    return BatchPrediction(placed.ref.version, rows, target)
