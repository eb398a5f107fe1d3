"""The gates on how good a model is: absolute bounds, the baseline, and no slice left behind. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from components.evaluation.gates.config import BaselineGate, SlicesGate
from components.evaluation.gates.evidence import GateEvidence
from components.evaluation.gates.findings import (
    Finding,
    UnusableEvidenceError,
    attempt,
    known_direction,
    read_metric,
    require_digest_of,
    require_finite,
)
from components.evaluation.gates.margins import allowance, improvement, is_not_worse
from components.types.dataset import Task
from components.types.evaluation import Direction, Evaluation, SliceResult

SLICE_METRIC: Mapping[Task, str] = {Task.BINARY: "accuracy", Task.MULTICLASS: "accuracy", Task.REGRESSION: "rmse"}
"""What slices are compared by unless the configuration names another: a slice of one class still has it."""


def absolute(evidence: GateEvidence, bounds: Mapping[str, float]) -> list[Finding]:
    """Compare metrics of the test split with fixed bounds; no bounds are no pass."""
    require_digest_of(evidence.candidate.product_digest, evidence.product_digest, "the evaluation")

    def one(metric: str, bound: float) -> Finding:
        value, direction = read_metric(
            evidence.candidate.task, evidence.candidate.test.metrics, metric, "the test split"
        )
        require_finite(bound, f"the bound of {metric}")
        word = "at least" if direction is Direction.HIGHER else "at most"
        enough = is_not_worse(improvement(value, bound, direction), 0.0)
        return Finding(enough, f"{metric} is {value:.6g}, {word} {bound:.6g} is asked for")

    if not bounds:
        raise UnusableEvidenceError("no bound is configured; name at least one metric under gates.absolute")
    return [attempt(one, metric, bound) for metric, bound in bounds.items()]


def baseline(evidence: GateEvidence, gate: BaselineGate) -> list[Finding]:
    """Compare the primary metric of the test split with the baseline's: not worse than it by the margin."""
    candidate, base = evidence.candidate, evidence.baseline
    require_digest_of(candidate.product_digest, evidence.product_digest, "the evaluation")
    if base is None:
        raise UnusableEvidenceError(
            "there is no evaluation of a baseline; add a training of kind sklearn, or name one under gates.baseline"
        )
    _require_comparable(candidate, base)
    metric = candidate.primary
    value, direction = read_metric(candidate.task, candidate.test.metrics, metric, "the candidate's test split")
    reference, _ = read_metric(base.task, base.test.metrics, metric, "the baseline's test split")
    if candidate == base:
        return [Finding(True, f"the baseline {base.training} itself is the candidate ({metric} {value:.6g})")]
    if candidate.product_digest == base.product_digest:
        raise UnusableEvidenceError(
            f"{candidate.training} and the baseline {base.training} are one product; it cannot be its own baseline"
        )
    allowed = allowance(metric, reference, gate.margin)
    good = is_not_worse(improvement(value, reference, direction), allowed)
    return [
        Finding(
            good, f"{metric} is {value:.6g}, the baseline {base.training} has {reference:.6g} (margin {allowed:.4g})"
        )
    ]


def slices(evidence: GateEvidence, gate: SlicesGate) -> list[Finding]:
    """Compare each slice of the test split with all of its rows; a column without a slice to judge is refused."""
    candidate = evidence.candidate
    require_digest_of(candidate.product_digest, evidence.product_digest, "the evaluation")
    metric = gate.metric or SLICE_METRIC[candidate.task]
    overall, direction = read_metric(candidate.task, candidate.test.metrics, metric, "the test split")
    if not evidence.slice_columns:
        raise UnusableEvidenceError("no slice column is configured; name columns in evaluation.slices")
    findings: list[Finding] = []
    for column in evidence.slice_columns:
        found = [each for each in candidate.test.slices if each.column == column]
        findings += _empty(found)
        judged = [each for each in found if each.rows >= gate.min_rows]
        if not judged:
            findings.append(Finding(False, f"column {column} has no slice with {gate.min_rows} rows or more"))
        allowed = allowance(metric, overall, gate.max_drop)
        findings += [attempt(_slice, each, metric, overall, direction, allowed) for each in judged]
    return findings


def _empty(found: list[SliceResult]) -> Iterator[Finding]:
    for each in found:
        if each.rows <= 0:
            yield Finding(False, f"slice {each.column} = {each.value} is empty; there is nothing to judge")


def _slice(found: SliceResult, metric: str, overall: float, direction: Direction, allowed: float) -> Finding:
    where = f"slice {found.column} = {found.value} ({found.rows} rows)"
    if metric not in found.metrics:
        raise UnusableEvidenceError(f"metric {metric} is missing from {where}: it is undefined there")
    value = require_finite(found.metrics[metric], f"metric {metric} of {where}")
    good = is_not_worse(improvement(value, overall, direction), allowed)
    return Finding(good, f"{where}: {metric} is {value:.6g}, all rows have {overall:.6g} (allowed drop {allowed:.4g})")


def _require_comparable(candidate: Evaluation, base: Evaluation) -> None:
    require_digest_of(base.dataset_digest, candidate.dataset_digest, "the baseline's data")
    if (base.task, base.model) != (candidate.task, candidate.model):
        raise UnusableEvidenceError(
            f"the baseline {base.training} is of another model or task; they cannot be compared"
        )
    if base.test.rows != candidate.test.rows or base.test.rows <= 0:
        raise UnusableEvidenceError(
            f"the baseline was evaluated on {base.test.rows} rows, the candidate on {candidate.test.rows}"
        )
    known_direction(candidate.task, candidate.primary)
