"""Trainings and registered versions of a model side by side. Reads records; changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.registry.registry import Registry
from components.release.peek import peek
from components.types import record
from components.types.dataset import Task
from components.types.evaluation import EVALUATION_FILE, METRIC_DIRECTIONS, Evaluation
from components.types.release import Environment
from components.types.training import RESULT_FILE, TrainingResult
from pipelines.config import load_model
from pipelines.recording import open_tracker
from pipelines.state import ledger_url

SHOWN_METRICS = 4


@dataclass(frozen=True)
class ComparedTraining:
    """A training as the last run left it; without metrics where it was not run."""

    training: str
    metrics: Mapping[str, str]
    """On the test split, with its interval."""
    product_bytes: int | None
    product_digest: str | None


@dataclass(frozen=True)
class ComparedVersion:
    """A registered version."""

    version: int
    training: str
    framework: str
    metrics: Mapping[str, str]
    """On the test split of its own time."""
    dataset_digest: str
    product_digest: str
    standing: str
    """What it is in the local environment."""


@dataclass(frozen=True)
class Comparison:
    """Everything there is to compare; metrics in the order in which they are shown, the primary one first."""

    model: str
    metrics: tuple[str, ...]
    trainings: tuple[ComparedTraining, ...]
    versions: tuple[ComparedVersion, ...]

    def training_rows(self) -> list[tuple[Any, ...]]:
        """Return the trainings as rows of a table."""
        return [
            (
                t.training,
                *(t.metrics.get(name) for name in self.metrics),
                t.product_bytes,
                (t.product_digest or "")[:12],
            )
            for t in self.trainings
        ]

    def version_rows(self) -> list[tuple[Any, ...]]:
        """Return the versions as rows of a table."""
        return [
            (
                *(v.version, v.training, v.framework),
                *(v.metrics.get(name) for name in self.metrics),
                *(v.dataset_digest[:12], v.product_digest[:12], v.standing),
            )
            for v in self.versions
        ]


def compare(model: str, root: Path = Path()) -> Comparison:
    """Return a model's trainings and versions with their metrics on the test split.

    Raises:
        UnknownNameError: there is no such model.
        InfrastructureError: the registry cannot be reached.
    """
    config = load_model(model, root)
    task = config.model.features.task
    primary = config.model.evaluation.primary_for(task)
    trainings = tuple(_training(model, name, root) for name in config.trainings)
    versions = tuple(_versions(model, root))
    return Comparison(model, shown_metrics(task, primary, trainings, versions), trainings, versions)


def shown_metrics(
    task: Task, primary: str, trainings: Sequence[ComparedTraining], versions: Sequence[ComparedVersion]
) -> tuple[str, ...]:
    """Return which metrics are columns, the primary one first: the trainings', else those that versions have."""
    named = [name for training in trainings for name in training.metrics]
    if not named:  # schedules train in checkouts of their own, and then only the versions have figures here
        named = [name for name in METRIC_DIRECTIONS[task] if any(name in version.metrics for version in versions)]
    return tuple(sorted(dict.fromkeys(named), key=lambda name: name != primary))[:SHOWN_METRICS]


def _training(model: str, training: str, root: Path) -> ComparedTraining:
    folder = root / "out" / model
    try:
        evaluation = record.read(Evaluation, folder / "evaluations" / training / EVALUATION_FILE)
        result = record.read(TrainingResult, folder / "trainings" / training / RESULT_FILE)
    except (OSError, ValueError):
        return ComparedTraining(training, {}, None, None)
    shown = {
        name: f"{value.value:.4f} [{value.low:.4f}, {value.high:.4f}]"
        for name, value in evaluation.test.metrics.items()
    }
    return ComparedTraining(training, shown, result.product_bytes, result.product_digest)


def _versions(model: str, root: Path) -> list[ComparedVersion]:
    tracker = open_tracker(root)
    slot, _ = peek(ledger_url(), model, Environment.LOCAL)
    standing = {slot.previous: "previous", slot.stable: "stable", slot.candidate: "challenger"}
    return [
        ComparedVersion(
            version.version,
            version.tags.get("towpath.training", ""),
            version.tags.get("towpath.framework", ""),
            {
                name.removeprefix("test_"): f"{value:.4f}"
                for name, value in tracker.read_metrics(version.run_id).items()
                if name.startswith("test_")
            },
            version.dataset_digest,
            version.product_digest,
            standing.get(version.version, ""),
        )
        for version in Registry(tracker.connection).list_versions(model)
    ]
