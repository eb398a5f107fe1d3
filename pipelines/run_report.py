"""What MLflow keeps of a judgement: the gate table, and a report for people. Judges nothing."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from components.stage.files import write_json
from pipelines.judgement import Judgement
from pipelines.recording import Recording
from pipelines.selection import Choice

GATES_FILE = "gates.json"


def record_judgement(recording: Recording, choice: Choice, judgement: Judgement) -> None:
    """Log the gate table to the run, and tag the run with the winner and the verdict.

    Raises:
        InfrastructureError: MLflow cannot be reached.
    """
    tracker, run = recording.tracker(), recording.run_id
    refused = [verdict.gate for verdict in judgement.verdicts if not verdict.passed]
    with TemporaryDirectory(prefix="towpath-gates-") as folder:
        path = Path(folder) / GATES_FILE
        write_json(path, {"candidate": choice.candidate.training, "verdicts": list(judgement.verdicts)})
        tracker.log_artifact(run, path)
    tags = {
        "towpath.winner": choice.candidate.training,
        "towpath.gates": f"refused by {', '.join(refused)}" if refused else "passed",
        "towpath.gate_config_digest": judgement.gate_config_digest,
    }
    tracker.set_tags(run, tags)
    metrics = {f"test_{name}": value.value for name, value in choice.candidate.test.metrics.items()}
    tracker.log_metrics(run, metrics)
