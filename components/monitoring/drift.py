"""Training counts beside served counts: the stability index of each column, and what it means. Reads nothing."""

from __future__ import annotations

from collections.abc import Sequence

from components.judge.psi import psi
from components.monitoring.config import MonitoringSection
from components.monitoring.profile import PREDICTION, ColumnProfile, ReferenceProfile
from components.monitoring.served import ServedCounts
from components.types.monitoring import ColumnDrift, Finding, FindingKind, ShareBar, Status, worst

_NAMED = 5


def column_drift(column: ColumnProfile, counts: Sequence[int], version: int, section: MonitoringSection) -> ColumnDrift:
    """Return how far a column's served counts are from its training counts, over the same bins."""
    index = psi(column.counts, counts, min_rows=section.min_rows)
    training, serving = _shares(column.counts), _shares(counts)
    return ColumnDrift(
        version=version,
        column=column.name,
        status=_status(index, section),
        psi=index,
        rows=sum(counts),
        training_missing=training[-1],
        serving_missing=serving[-1],
        bars=tuple(
            ShareBar(label, one, other)
            for label, one, other in zip(column.bins.labels, training, serving, strict=True)
            if one or other
        ),
    )


def feature_drift(
    profile: ReferenceProfile, counts: ServedCounts, version: int, section: MonitoringSection
) -> tuple[ColumnDrift, ...]:
    """Return the drift of every input, in the signature's order."""
    return tuple(column_drift(each, counts.columns[each.name], version, section) for each in profile.columns)


def prediction_drift(
    profile: ReferenceProfile, counts: ServedCounts, version: int, section: MonitoringSection
) -> ColumnDrift:
    """Return how far what a version answers is from what it said at the end of its training."""
    return column_drift(profile.prediction, counts.prediction, version, section)


def drift_finding(
    kind: FindingKind, columns: Sequence[ColumnDrift], version: int, section: MonitoringSection
) -> Finding:
    """Return one finding about all columns of a version, the worst of them named first."""
    state = worst(each.status for each in columns)
    what = "predictions" if kind is FindingKind.PREDICTION_DRIFT else "features"
    rows = max((each.rows for each in columns), default=0)
    if state is Status.INSUFFICIENT:
        few = f"{rows:,} served rows of" if rows < section.min_rows else "fewer rows than needed from the training of"
        words = f"{few} version {version}; drift of its {what} is judged from {section.min_rows} on"
        return Finding(kind, state, words, version)
    found = sorted((each for each in columns if each.psi is not None), key=lambda each: -(each.psi or 0.0))
    named = [each for each in found if each.status is not Status.OK] or found[:1]
    words = ", ".join(_named(each) for each in named[:_NAMED])
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    bound = section.psi_alarm if state is not Status.WARN else section.psi_warning
    if state is Status.OK:
        sentence = f"{rows:,} rows of version {version}: its {what} are as in training; the largest PSI is {words}"
    else:
        sentence = f"{rows:,} rows of version {version}: its {what} drifted (PSI from {bound:g} on): {words}{more}"
    return Finding(kind, state, sentence, version)


def no_reference(kind: FindingKind, version: int, why: str) -> Finding:
    """Return the finding where nobody knows what a version was trained on."""
    return Finding(kind, Status.INSUFFICIENT, why, version)


def _status(index: float | None, section: MonitoringSection) -> Status:
    if index is None:
        return Status.INSUFFICIENT
    if index >= section.psi_alarm:
        return Status.ALARM
    return Status.WARN if index >= section.psi_warning else Status.OK


def _named(found: ColumnDrift) -> str:
    return f"{found.psi:.2f}" if found.column == PREDICTION else f"`{found.column}` {found.psi:.2f}"


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts)
    return [count / total if total else 0.0 for count in counts]
