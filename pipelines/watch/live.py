"""The metric that chose a version, on predictions whose labels came in, beside its value on the test split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from components.evaluation.gates.margins import allowance
from components.evaluation.record.bootstrap import intervals
from components.evaluation.record.scored import Scored
from components.monitoring.config import MonitoringSection
from components.monitoring.labels import Labelled, join_labels, read_labels
from components.monitoring.log_files import LogWindow
from components.serving.label_log import LABELS
from components.types.evaluation import METRIC_DIRECTIONS
from components.types.monitoring import LiveMetric
from components.types.product import Signature
from pipelines.config import ModelConfig


def label_files(config: ModelConfig, log: Path, root: Path) -> list[Path]:
    """Return where a model's labels stand: those that its gateway was sent, and the file that is configured."""
    sent = sorted((log / LABELS / config.name).glob("*.jsonl"))
    configured = config.model.monitoring.labels
    return [*sent, *([root / configured] if configured else [])]


def live_metric(
    window: LogWindow,
    version: int,
    paths: Sequence[Path],
    signature: Signature,
    config: ModelConfig,
    reference: float | None,
    labels: Sequence[Path],
) -> LiveMetric:
    """Return a version's primary metric on its labelled predictions.

    Args:
        window: How far back predictions are joined with labels.
        version: The version.
        paths: Its files of the log.
        signature: Says what a label may be.
        config: The model's.
        reference: The metric's value on the test split, where it is known.
        labels: The labels' files.

    Raises:
        SourceError: labels cannot be read, or the model could not give them.
        DigestMismatchError: a file of the log is damaged.
        InfrastructureError: the log cannot be read.
    """
    primary = config.model.evaluation.primary_for(signature.task)
    found = join_labels(window, paths, read_labels(labels), signature.classes)
    measured = None
    if found.rows >= config.model.monitoring.min_labels:
        section = config.model.evaluation
        measured = intervals(_scored(found, signature), section.bootstrap, section.seed).get(primary)
    value, low, high = measured or (None, None, None)
    direction = METRIC_DIRECTIONS[signature.task][primary]
    return LiveMetric(version, primary, found.rows, value, low, high, reference, direction)


def allowed_drop(live: LiveMetric, section: MonitoringSection) -> float | None:
    """Return by how much the metric may be worse than on the test split, in its own units."""
    return None if live.reference is None else allowance(live.metric, live.reference, section.metric_drop)


def _scored(found: Labelled, signature: Signature) -> Scored:
    return Scored(signature.task, signature.classes, found.label, found.predicted, found.probabilities)
