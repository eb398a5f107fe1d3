"""Render one run of a model as a self-contained page: inline style, pictures inside, no script. Writes no file."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.reports.pages import template
from components.types.dataset import Task
from components.types.evaluation import Direction, Evaluation, MetricValue, Verdict
from components.types.training import TrainingResult

_MAX_SLICES = 60


@dataclass(frozen=True)
class TrainedModel:
    """One training of the run."""

    result: TrainingResult
    evaluation: Evaluation


@dataclass(frozen=True)
class RunReport:
    """All that the page shows."""

    title: str
    """For example the run's name."""
    candidate: str
    """The training that was judged."""
    choice: str
    """Why it was chosen: one sentence."""
    trainings: tuple[TrainedModel, ...]
    verdicts: tuple[Verdict, ...]
    """Empty when the run judged nothing."""
    plots: Path | None
    """The candidate's plots, PNG files."""
    lineage: Mapping[str, str]
    """What the run was made of: digests, commit, versions; in the order in which they are shown."""


def render_run_report(report: RunReport) -> str:
    """Return the page; the same report gives the same text.

    Raises:
        ValueError: the candidate is not among the trainings.
    """
    candidate = next((each for each in report.trainings if each.evaluation.training == report.candidate), None)
    if candidate is None:
        names = ", ".join(each.evaluation.training for each in report.trainings)
        raise ValueError(f"the candidate {report.candidate} is none of the run's trainings: {names}")
    evaluation = candidate.evaluation
    return template("run.html.j2").render(
        report=report,
        candidate=candidate,
        evaluation=evaluation,
        primary=evaluation.primary,
        better=_better(evaluation),
        state=_state(report.verdicts),
        ranked=_ranked(report.trainings),
        metrics=_metrics(evaluation),
        slices=evaluation.test.slices[:_MAX_SLICES],
        slice_metrics=_slice_metrics(evaluation),
        pictures=_pictures(report.plots),
    )


def _better(evaluation: Evaluation) -> str:
    metric = evaluation.validation.metrics.get(evaluation.primary)
    return "" if metric is None else f"{metric.direction.value} is better"


def _state(verdicts: tuple[Verdict, ...]) -> str:
    if not verdicts:
        return "not judged"
    return "passed" if all(each.passed for each in verdicts) else "refused"


def _ranked(trainings: tuple[TrainedModel, ...]) -> list[TrainedModel]:
    """Return the trainings, best on validation first; those without the primary metric last."""

    def place(each: TrainedModel) -> tuple[bool, float, str]:
        found = each.evaluation.validation.metrics.get(each.evaluation.primary)
        if found is None:
            return True, 0.0, each.evaluation.training
        return False, -found.value if found.direction is Direction.HIGHER else found.value, each.evaluation.training

    return sorted(trainings, key=place)


def _metrics(evaluation: Evaluation) -> list[tuple[str, MetricValue, MetricValue | None, Any]]:
    """Return name, test and validation value, and where the test interval lies on a scale of 0 to 100."""
    return [
        (name, value, evaluation.validation.metrics.get(name), _bar(value, evaluation.task))
        for name, value in evaluation.test.metrics.items()
    ]


def _bar(value: MetricValue, task: Task) -> tuple[float, float, float] | None:
    """Return start, width and point of an interval in percent, for metrics between 0 and 1."""
    ends = (value.low, value.value, value.high)
    if task is Task.REGRESSION or not all(0 <= each <= 1 for each in ends):
        return None
    return round(100 * value.low, 2), round(100 * (value.high - value.low), 2), round(100 * value.value, 2)


def _slice_metrics(evaluation: Evaluation) -> list[str]:
    """Return the metrics worth a column in the table of slices: the primary first, three at most."""
    usual = [evaluation.primary, *(["rmse", "mae"] if evaluation.task is Task.REGRESSION else ["accuracy", "log_loss"])]
    return list(dict.fromkeys(usual))


def _pictures(plots: Path | None) -> list[tuple[str, str]]:
    if plots is None:
        return []
    return [
        (path.stem.replace("_", " "), base64.b64encode(path.read_bytes()).decode())
        for path in sorted(plots.glob("*.png"))
    ]
