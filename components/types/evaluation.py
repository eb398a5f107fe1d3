"""What an evaluation records, and what a gate says of it. Directions live here, and only here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from components.types.dataset import Task

EVALUATION_FILE = "evaluation.json"
PREDICTIONS_FILE = "predictions.parquet"


class Direction(StrEnum):
    """Which way a metric gets better."""

    HIGHER = "higher"
    LOWER = "lower"


_H, _L = Direction.HIGHER, Direction.LOWER
_B, _M, _R = Task.BINARY, Task.MULTICLASS, Task.REGRESSION

METRIC_DIRECTIONS: Mapping[Task, Mapping[str, Direction]] = {
    _B: {
        "auc": _H,
        "average_precision": _H,
        "accuracy": _H,
        "f1": _H,
        "precision": _H,
        "recall": _H,
        "log_loss": _L,
        "brier": _L,
        "calibration_error": _L,
    },
    _M: {"accuracy": _H, "f1_macro": _H, "auc_ovr": _H, "log_loss": _L, "calibration_error": _L},
    _R: {"r2": _H, "rmse": _L, "mae": _L, "median_absolute_error": _L},
}
"""Every metric that an evaluation records, by task, with its direction."""

PRIMARY_METRIC: Mapping[Task, str] = {_B: "auc", _M: "accuracy", _R: "rmse"}
"""The metric that chooses the winner unless the configuration names another."""


@dataclass(frozen=True)
class MetricValue:
    """A metric with its bootstrap interval."""

    value: float
    low: float
    high: float
    direction: Direction


@dataclass(frozen=True)
class SliceResult:
    """The metrics of one slice of a split."""

    column: str
    value: str
    rows: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class SplitResult:
    """The metrics of one split."""

    rows: int
    metrics: Mapping[str, MetricValue]
    slices: tuple[SliceResult, ...]


@dataclass(frozen=True)
class Evaluation:
    """What the evaluate stage wrote (`EVALUATION_FILE`); a record, never a judgement."""

    model: str
    training: str
    task: Task
    primary: str
    product_digest: str
    dataset_digest: str
    validation: SplitResult
    """Chooses the winner."""
    test: SplitResult
    """Passes or refuses it."""


@dataclass(frozen=True)
class Verdict:
    """What one gate says."""

    gate: str
    passed: bool
    reasons: tuple[str, ...]
    """One sentence each; never empty, also when passed: what was compared with what."""
