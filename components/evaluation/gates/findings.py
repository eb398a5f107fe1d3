"""What a gate found, how that becomes a verdict, and how a metric is read so that nothing slips by. No thresholds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import ParamSpec

from components.evaluation.gates.margins import direction_of
from components.types.dataset import Task
from components.types.evaluation import METRIC_DIRECTIONS, Direction, MetricValue, Verdict

P = ParamSpec("P")


class UnusableEvidenceError(ValueError):
    """Say why a piece of evidence cannot be judged; it never leaves this package."""


@dataclass(frozen=True)
class Finding:
    """One comparison: whether it is in the model's favour, and what was compared with what."""

    passed: bool
    reason: str


def verdict(gate: str, look: Callable[[], Iterable[Finding]]) -> Verdict:
    """Return what a gate says: refused by any finding against the model, by no finding, and by unusable evidence."""
    try:
        findings = list(look())
    except UnusableEvidenceError as error:
        findings = [Finding(False, str(error))]
    if not findings:
        findings = [Finding(False, "nothing was checked")]
    against = tuple(each.reason for each in findings if not each.passed)
    return Verdict(gate, not against, against or tuple(each.reason for each in findings))


def attempt(look: Callable[P, Finding], *arguments: P.args, **named: P.kwargs) -> Finding:
    """Return a finding; unusable evidence is one against the model."""
    try:
        return look(*arguments, **named)
    except UnusableEvidenceError as error:
        return Finding(False, str(error))


def known_direction(task: Task, metric: str) -> Direction:
    """Return which way a metric gets better.

    Raises:
        UnusableEvidenceError: nobody said.
    """
    direction = direction_of(task, metric)
    if direction is None:
        known = ", ".join(METRIC_DIRECTIONS[task])
        raise UnusableEvidenceError(f"metric {metric} has no direction for a {task.value} model; known: {known}")
    return direction


def read_metric(task: Task, metrics: Mapping[str, MetricValue], metric: str, where: str) -> tuple[float, Direction]:
    """Return a recorded metric and which way it gets better.

    Raises:
        UnusableEvidenceError: it has no direction, is missing, was recorded the wrong way round, or is not finite.
    """
    direction = known_direction(task, metric)
    if metric not in metrics:
        raise UnusableEvidenceError(
            f"metric {metric} is missing from {where}: it was not recorded, or is undefined there"
        )
    found = metrics[metric]
    if found.direction is not direction:
        raise UnusableEvidenceError(
            f"metric {metric} of {where} was recorded as {found.direction.value} is better; it is {direction.value}"
        )
    return require_finite(found.value, f"metric {metric} of {where}"), direction


def require_finite(value: float, what: str) -> float:
    """Return `value`.

    Raises:
        UnusableEvidenceError: it is NaN or infinite.
    """
    if not math.isfinite(value):
        raise UnusableEvidenceError(f"{what} is {value}, expected a finite number")
    return value


def require_digest_of(found: str, expected: str, what: str) -> None:
    """Check that evidence is about what is judged.

    Raises:
        UnusableEvidenceError: it is about something else, or does not say what it is about.
    """
    if not expected or found != expected:
        raise UnusableEvidenceError(f"{what} is of {found[:12] or 'nothing'}, expected {expected[:12] or 'a digest'}")
