"""What watching a model's traffic found: figures, findings and one state. Judges nothing itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from components.types.evaluation import Direction


class Status(StrEnum):
    """What a finding says; ``insufficient`` is never good news: nobody knows."""

    OK = "ok"
    INSUFFICIENT = "insufficient"
    WARN = "warn"
    ALARM = "alarm"


class FindingKind(StrEnum):
    """What a finding is about."""

    VOLUME = "volume"
    ERRORS = "errors"
    LATENCY = "latency"
    QUALITY = "quality"
    FEATURE_DRIFT = "feature_drift"
    PREDICTION_DRIFT = "prediction_drift"
    LIVE_METRIC = "live_metric"


def worst(statuses: Iterable[Status]) -> Status:
    """Return the worst of some statuses; of none, ``insufficient``: what nobody looked at is not in order."""
    order = list(Status)
    return max(statuses, key=order.index, default=Status.INSUFFICIENT)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, and what came of it."""

    kind: FindingKind
    status: Status
    sentence: str
    version: int | None = None
    """None for what is about all versions together."""


@dataclass(frozen=True)
class VersionTraffic:
    """What one version answered in one role."""

    version: int
    role: str
    """``stable``, ``canary``, ``shadow`` or ``previous``; empty where a request named the version."""
    requests: int
    rows: int
    errors: int
    """Requests that it failed, by a status of 500 and above."""
    error_low: float
    """The lower end of the 95 % interval of the share of errors (Wilson)."""
    error_high: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None

    @property
    def error_rate(self) -> float:
        """The share of its requests that it failed."""
        return self.errors / self.requests if self.requests else 0.0


@dataclass(frozen=True)
class Moment:
    """What users asked in one part of the window."""

    start: str
    """ISO 8601, UTC."""
    requests: int
    errors: int


@dataclass(frozen=True)
class ShareBar:
    """One bin of a column: which share of the rows fell into it."""

    label: str
    training: float
    serving: float


@dataclass(frozen=True)
class ColumnDrift:
    """How far a column's served rows are from its training rows; predictions, from those at the end of the training."""

    version: int
    column: str
    status: Status
    psi: float | None
    """The population stability index; None where there are too few rows to say."""
    rows: int
    """Served rows."""
    training_missing: float
    """A share."""
    serving_missing: float
    bars: tuple[ShareBar, ...]


@dataclass(frozen=True)
class MissedExpectation:
    """An expectation of the training data's suite that served rows do not meet."""

    type: str
    columns: tuple[str, ...]
    severity: str
    reason: str
    """One sentence, without any of the rows' values."""


@dataclass(frozen=True)
class ServedQuality:
    """Served rows against the expectation suite of the training data."""

    version: int
    rows: int
    """So many of them were looked at, evenly spread."""
    applied: int
    """Expectations that are about columns which the log has."""
    left_out: int
    """Expectations about ids, labels or whole tables."""
    missed: tuple[MissedExpectation, ...]


@dataclass(frozen=True)
class LiveMetric:
    """A metric of the predictions whose labels have come in."""

    version: int
    metric: str
    labels: int
    """Predictions with a label."""
    value: float | None
    """None where there are too few labels, or where the metric is undefined on them."""
    low: float | None
    """The 95 % bootstrap interval."""
    high: float | None
    reference: float | None
    """The version's own value on the test split."""
    direction: Direction


@dataclass(frozen=True)
class MonitoringReport:
    """One look at a model's traffic in one environment."""

    model: str
    environment: str
    since: str
    """ISO 8601, UTC; the first moment that was looked at."""
    until: str
    state: Status
    """The worst of the findings."""
    findings: tuple[Finding, ...]
    traffic: tuple[VersionTraffic, ...]
    moments: tuple[Moment, ...]
    features: tuple[ColumnDrift, ...]
    predictions: tuple[ColumnDrift, ...]
    quality: tuple[ServedQuality, ...]
    live: tuple[LiveMetric, ...]

    def of(self, kind: FindingKind) -> tuple[Finding, ...]:
        """Return the findings of one kind."""
        return tuple(each for each in self.findings if each.kind is kind)
