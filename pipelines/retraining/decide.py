"""Whether a model is trained again now, from a report and what happened before: pure, no clock, no server.

Whatever is not known is no reason to train: no report, one that is old, fewer rows than monitoring judges.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from components.monitoring.config import LEAST_ROWS, length_of
from components.stage.files import record_digest
from components.types.monitoring import ColumnDrift, FindingKind, MonitoringReport, Status
from pipelines.retraining.config import RetrainingSection

_NAMED = 5
_AHEAD = timedelta(minutes=5)
"""How far the clock of whoever wrote a report may be ahead of ours."""


@dataclass(frozen=True)
class Attempt:
    """A retraining that was asked for."""

    report: str
    """The digest of the report that led to it."""
    at: datetime
    run: str
    """The flow run's id."""


@dataclass(frozen=True)
class History:
    """What is known of a model beside its report."""

    stable: int | None
    """The version that is stable in the environment that is watched."""
    attempts: tuple[Attempt, ...] = ()
    running: str = ""
    """What trains the model now, in words; empty where nothing does."""
    rollouts: tuple[str, ...] = ()
    """What is on its way in any environment, and a challenger that waits, in words."""


@dataclass(frozen=True)
class Cause:
    """One alarm that asks for a training."""

    kind: FindingKind
    sentence: str
    columns: tuple[str, ...] = ()
    """Inputs that drifted, the worst first."""


@dataclass(frozen=True)
class Retrain:
    """Train again, because of this report."""

    report: str
    """Its digest: the same report never leads to a second training."""
    causes: tuple[Cause, ...]

    @property
    def reason(self) -> str:
        """Why, in a sentence."""
        return "; ".join(each.sentence for each in self.causes)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every input that drifted."""
        return tuple(dict.fromkeys(column for each in self.causes for column in each.columns))


@dataclass(frozen=True)
class Wait:
    """There may be a cause, and it is not the time."""

    reason: str
    causes: tuple[Cause, ...] = ()
    until: str = ""
    """ISO 8601, where it is known."""


@dataclass(frozen=True)
class Nothing:
    """Nothing asks for a training."""

    reason: str


Decision = Retrain | Wait | Nothing


def decide(
    policy: RetrainingSection | None, report: MonitoringReport | None, history: History, now: datetime
) -> Decision:
    """Return whether a model is trained again now, and why; the same arguments give the same answer.

    Args:
        policy: The model's; None where it is off.
        report: What the last look found; None where nobody looked.
        history: What happened before, and what goes on.
        now: With its zone.
    """
    if policy is None:
        return Nothing("retraining is off: the model's configuration has no section `retraining`")
    if report is None:
        return Wait(f"nobody has looked at its traffic in {policy.environment} yet: `towpath monitor` does")
    if not_current := _not_current(policy, report, now):
        return Wait(not_current)
    if history.stable is None:
        return Nothing(f"no version is stable in {policy.environment}, so there is nothing that could have drifted")
    causes = tuple(_causes(policy, report, history.stable))
    if not causes:
        return Nothing(_calm(policy, report, history.stable))
    digest = record_digest(report)
    return _held(policy, history, digest, causes, now) or Retrain(digest, causes)


def _not_current(policy: RetrainingSection, report: MonitoringReport, now: datetime) -> str:
    """Say why a report is not about now; empty where it is."""
    until = datetime.fromisoformat(report.until)
    if until > now + _AHEAD:
        return f"the last report ends at {report.until}, which is in the future: look at the machines' clocks"
    if now - until > length_of(policy.max_age):
        return f"the last report ends at {report.until}, more than {policy.max_age} ago: `towpath monitor` looks anew"
    return ""


def _causes(policy: RetrainingSection, report: MonitoringReport, stable: int) -> Iterator[Cause]:
    """Yield the alarms about the stable version that count."""
    if FindingKind.FEATURE_DRIFT.value in policy.on:
        drifted = [each for each in report.features if each.version == stable and _has_drifted(each)]
        drifted.sort(key=lambda each: -(each.psi or 0.0))
        if len(drifted) >= policy.min_columns:
            yield _drift(FindingKind.FEATURE_DRIFT, "inputs", drifted)
    if FindingKind.PREDICTION_DRIFT.value in policy.on:
        moved = [each for each in report.predictions if each.version == stable and _has_drifted(each)]
        if moved:
            yield _drift(FindingKind.PREDICTION_DRIFT, "answers", moved)
    if FindingKind.LIVE_METRIC.value in policy.on:
        for found in report.of(FindingKind.LIVE_METRIC):
            if found.version == stable and found.status is Status.ALARM:
                yield Cause(found.kind, found.sentence)


def _has_drifted(drift: ColumnDrift) -> bool:
    return drift.status is Status.ALARM and drift.psi is not None and drift.rows >= LEAST_ROWS


def _drift(kind: FindingKind, what: str, columns: list[ColumnDrift]) -> Cause:
    named = ", ".join(f"{each.column} {each.psi:.2f}" for each in columns[:_NAMED])
    more = f" and {len(columns) - _NAMED} more" if len(columns) > _NAMED else ""
    words = f"the {what} of version {columns[0].version} drifted on {columns[0].rows:,} rows (PSI): {named}{more}"
    inputs = tuple(each.column for each in columns) if kind is FindingKind.FEATURE_DRIFT else ()
    return Cause(kind, words, inputs)


def _calm(policy: RetrainingSection, report: MonitoringReport, stable: int) -> str:
    """Say what was found instead of a cause."""
    about = [each for each in report.findings if each.kind.value in policy.on and each.version == stable]
    if not about:
        return f"the last report says nothing of version {stable}, which is stable in {policy.environment} now"
    if unknown := [each for each in about if each.status is Status.INSUFFICIENT]:
        return f"no alarm that counts, and nobody knows enough: {'; '.join(each.sentence for each in unknown)}"
    return f"no alarm that counts: {'; '.join(each.sentence for each in about)}"


def _held(
    policy: RetrainingSection, history: History, digest: str, causes: tuple[Cause, ...], now: datetime
) -> Wait | None:
    """Return what keeps a training from being asked for, though there is a cause."""
    if again := next((each for each in history.attempts if each.report == digest), None):
        return Wait(f"this report led to run {again.run} at {again.at.isoformat()} already", causes)
    if history.running:
        return Wait(f"a training goes on: {history.running}", causes)
    if policy.wait_for_rollouts and history.rollouts:
        return Wait(f"a release goes on: {'; '.join(history.rollouts)}", causes)
    if history.attempts and (free := max(each.at for each in history.attempts) + length_of(policy.cool_down)) > now:
        last = max(history.attempts, key=lambda each: each.at)
        words = f"run {last.run} was asked for at {last.at.isoformat()}, and {policy.cool_down} must pass"
        return Wait(words, causes, free.isoformat())
    spent = sorted(each.at for each in history.attempts if each.at > now - length_of(policy.period))
    if len(spent) >= policy.budget:
        words = f"the budget is spent: {len(spent)} of {policy.budget} retrainings in {policy.period}"
        return Wait(words, causes, (spent[-policy.budget] + length_of(policy.period)).isoformat())
    return None
