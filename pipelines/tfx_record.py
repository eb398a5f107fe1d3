"""What MLflow keeps of a training that TFX ran: its records, a page for people, its lineage as tags. Judges nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from components.errors import DigestMismatchError
from components.reports.tfx import TfxPage, render_tfx
from components.stage.files import write_text
from components.types import record
from components.types.tfx import (
    ANALYSIS_FILE,
    ANOMALIES_FILE,
    LINEAGE_FILE,
    SCHEMA_FILE,
    STATISTICS_FILE,
    TFX_DIR,
    Anomalies,
    DataStatistics,
    Lineage,
    ModelAnalysis,
)
from components.types.training import TrainingResult
from pipelines.state import REPORTS

if TYPE_CHECKING:
    from components.tracking.tracker import Tracker

ARTIFACT_FOLDER = "tfx"
_TAG_CHARACTERS = 4000


def has_tfx_records(result: TrainingResult) -> bool:
    """Return whether a training left what TFX found."""
    return f"{TFX_DIR}/{ANALYSIS_FILE}" in result.native_files


def record_tfx(tracker: Tracker, run: str, folder: Path, result: TrainingResult, root: Path) -> Path:
    """Log a training's records, page and lineage to its run, and return where the page stands.

    Args:
        tracker: The connection.
        run: The training's run.
        folder: The train stage's output.
        result: What it came to.
        root: The project.

    Raises:
        DigestMismatchError: a record is missing or damaged.
        InfrastructureError: MLflow cannot be reached.
    """
    page = _read_page(folder / TFX_DIR, result.training)
    path = root / REPORTS / result.model / f"tfx-{result.training}.html"
    write_text(path, render_tfx(page))
    for name in (STATISTICS_FILE, ANOMALIES_FILE, ANALYSIS_FILE, LINEAGE_FILE, SCHEMA_FILE):
        tracker.log_artifact(run, folder / TFX_DIR / name, ARTIFACT_FOLDER)
    tracker.log_artifact(run, path, ARTIFACT_FOLDER)
    tracker.set_tags(run, lineage_tags(page.lineage) | {"tfx.blessed": str(page.analysis.blessed).lower()})
    found = {f"tfx_{name}": value for name, value in page.analysis.slices[0].metrics.items() if value is not None}
    tracker.log_metrics(run, found)
    return path


def lineage_tags(lineage: Lineage) -> dict[str, str]:
    """Return a tag for each artifact and each execution of ML Metadata, by its id there."""
    tags = {}
    for each in lineage.artifacts:
        properties = json.dumps(dict(each.properties), sort_keys=True)
        tags[f"tfx.artifact.{each.id}"] = f"{each.type} {each.name} {properties}".replace("  ", " ")[:_TAG_CHARACTERS]
    for run in lineage.executions:
        tags[f"tfx.execution.{run.id}"] = f"{run.name} {run.state}: {_ids(run.inputs)} -> {_ids(run.outputs)}"
    return tags


def _ids(artifacts: tuple[int, ...]) -> str:
    return ", ".join(map(str, artifacts)) or "nothing"


def _read_page(records: Path, training: str) -> TfxPage:
    try:
        return TfxPage(
            training,
            record.read(DataStatistics, records / STATISTICS_FILE),
            record.read(Anomalies, records / ANOMALIES_FILE),
            record.read(ModelAnalysis, records / ANALYSIS_FILE),
            record.read(Lineage, records / LINEAGE_FILE),
        )
    except (OSError, ValueError) as error:
        raise DigestMismatchError(
            f"{records} does not hold what TFX found ({error}); force the training to run again"
        ) from error
