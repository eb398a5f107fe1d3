"""What is kept of a judgement: the gate table and tags in MLflow, and a page for people. Judges nothing."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from components.reports.run import RunReport, TrainedModel, render_run_report
from components.stage.files import write_json, write_text
from components.types import record
from components.types.training import RESULT_FILE, TrainingResult
from pipelines.batches.telling import batch_facts
from pipelines.config import load_model
from pipelines.judgement import Judgement
from pipelines.lineage import code_lineage
from pipelines.recording import Recording
from pipelines.selection import Choice
from pipelines.state import REPORTS

GATES_FILE = "gates.json"
REPORT_FILE = "run.html"


def record_judgement(recording: Recording, choice: Choice, judgement: Judgement, root: Path) -> Path:
    """Log the gate table, the report, the winner and the verdict to the run, and return where the report stands.

    Raises:
        InfrastructureError: MLflow cannot be reached.
    """
    tracker, run = recording.tracker(), recording.run_id
    candidate = choice.candidate
    refused = [verdict.gate for verdict in judgement.verdicts if not verdict.passed]
    report = root / REPORTS / candidate.model / REPORT_FILE
    write_text(report, render_run_report(_report(choice, judgement, run, root)))
    with TemporaryDirectory(prefix="towpath-gates-") as folder:
        path = Path(folder) / GATES_FILE
        write_json(path, {"candidate": candidate.training, "verdicts": list(judgement.verdicts)})
        tracker.log_artifact(run, path)
    tracker.log_artifact(run, report)
    tags = {
        "towpath.winner": candidate.training,
        "towpath.gates": f"refused by {', '.join(refused)}" if refused else "passed",
        "towpath.gate_config_digest": judgement.gate_config_digest,
    }
    tracker.set_tags(run, tags)
    tracker.log_metrics(run, {f"test_{name}": value.value for name, value in candidate.test.metrics.items()})
    return report


def _report(choice: Choice, judgement: Judgement, run: str, root: Path) -> RunReport:
    candidate = choice.candidate
    outputs = root / "out" / candidate.model
    code = code_lineage(root)
    lineage = {
        "product": candidate.product_digest,
        "data": candidate.dataset_digest,
        "code": code.code_digest,
        "locks": code.lock_digest,
        "gate configuration": judgement.gate_config_digest,
        "MLflow run": run,
        **batch_facts(candidate.model, load_model(candidate.model, root).model.data, root),
    }
    trainings = tuple(
        TrainedModel(record.read(TrainingResult, outputs / "trainings" / each.training / RESULT_FILE), each)
        for each in choice.evaluations
    )
    plots = outputs / "evaluations" / candidate.training / "plots"
    return RunReport(
        candidate.model, candidate.training, choice.sentence, trainings, judgement.verdicts, plots, lineage
    )
