"""A training that TFX ran leaves records, a page and its lineage with its MLflow run; another one leaves none."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.errors import DigestMismatchError
from components.stage.files import write_json
from components.tracking.tracker import Tracker
from components.types.tfx import (
    ANALYSIS_FILE,
    ANOMALIES_FILE,
    LINEAGE_FILE,
    SCHEMA_FILE,
    STATISTICS_FILE,
    TFX_DIR,
    AnalysisSlice,
    Anomalies,
    DataStatistics,
    Lineage,
    LineageArtifact,
    LineageExecution,
    ModelAnalysis,
    SplitStatistics,
    ThresholdResult,
)
from components.types.training import METRICS_FILE, RESULT_FILE, TrainingResult
from pipelines.recording import TrainingRecording
from pipelines.stages import CacheVerdict, StageRun

pytestmark = pytest.mark.slow
NATIVE = tuple(
    f"{TFX_DIR}/{name}" for name in (ANALYSIS_FILE, ANOMALIES_FILE, LINEAGE_FILE, SCHEMA_FILE, STATISTICS_FILE)
)


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    folder = tmp_path_factory.mktemp("mlflow")
    return Tracker(f"sqlite:///{folder}/mlflow.db", folder / "artifacts")


def trained(root: Path, native: tuple[str, ...]) -> Path:
    folder = root / "out/rides/trainings/rides-tfx"
    result = TrainingResult(
        "rides", "rides-tfx", "tfx", "mlp", "tfx 1.16.0", "p" * 64, "d" * 64, "savedmodel", native, {}, 1e-7, 1e-4,
        12345, 7, 5,
    )  # fmt: skip
    write_json(folder / RESULT_FILE, result)
    (folder / METRICS_FILE).touch()
    return folder


def with_records(folder: Path) -> None:
    records = folder / TFX_DIR
    line = ThresholdResult("auc", "", "", "at least", 0.8, 0.9, True)
    analysis = ModelAnalysis(
        "p" * 64, "d" * 64, ("auc",), (AnalysisSlice("", "", 100, {"auc": 0.9}),), (line,), True
    )  # fmt: skip
    write_json(records / ANALYSIS_FILE, analysis)
    write_json(records / STATISTICS_FILE, DataStatistics((SplitStatistics("train", 100, ()),)))
    write_json(records / ANOMALIES_FILE, Anomalies(()))
    lineage = Lineage(
        (LineageArtifact(1, "Examples", "", {"split_names": "train"}), LineageArtifact(2, "Model", "", {})),
        (LineageExecution(1, "tfx.Trainer", "Trainer", "COMPLETE", (1,), (2,)),),
    )
    write_json(records / LINEAGE_FILE, lineage)
    (records / SCHEMA_FILE).write_text("feature {}")


def record(tracker: Tracker, root: Path) -> str:
    run = tracker.start_training_run(tracker.start_pipeline_run("rides"), "rides", "rides-tfx")
    done = StageRun("train@rides-tfx", CacheVerdict.RAN, 1.0, root)
    TrainingRecording(tracker, "rides", "rides-tfx", run, root).finish(done)
    return run


def logged(tracker: Tracker, run: str) -> set[str]:
    client = tracker.connection.client
    return {inner.path for each in client.list_artifacts(run) for inner in client.list_artifacts(run, each.path)}


def test_records_page_metrics_and_lineage_are_with_the_run(tracker: Tracker, tmp_path: Path) -> None:
    with_records(trained(tmp_path, NATIVE))
    run = record(tracker, tmp_path)
    names = (ANALYSIS_FILE, ANOMALIES_FILE, LINEAGE_FILE, SCHEMA_FILE, STATISTICS_FILE, "tfx-rides-tfx.html")
    assert logged(tracker, run) == {f"tfx/{name}" for name in names}
    data = tracker.connection.client.get_run(run).data
    assert data.tags["tfx.artifact.1"] == 'Examples {"split_names": "train"}'
    assert data.tags["tfx.execution.1"] == "Trainer COMPLETE: 1 -> 2"
    assert data.tags["tfx.blessed"] == "true"
    assert data.metrics["tfx_auc"] == 0.9
    assert "at least 0.8" in (tmp_path / "reports/rides/tfx-rides-tfx.html").read_text()


def test_a_training_that_left_none_has_none(tracker: Tracker, tmp_path: Path) -> None:
    trained(tmp_path, ())
    run = record(tracker, tmp_path)
    assert logged(tracker, run) == set()
    assert not any(tag.startswith("tfx.") for tag in tracker.connection.client.get_run(run).data.tags)


def test_a_record_that_is_gone_is_named(tracker: Tracker, tmp_path: Path) -> None:
    folder = trained(tmp_path, NATIVE)
    with_records(folder)
    (folder / TFX_DIR / LINEAGE_FILE).unlink()
    with pytest.raises(DigestMismatchError, match="does not hold what TFX found"):
        record(tracker, tmp_path)
