"""The gate on what TFX's Evaluator found: every threshold of the training holds for the product that is judged. Pure.

The thresholds are the training's own (``trainings.<name>.thresholds``), so the gate has no section in `gates`: it is on
for whatever training makes an analysis, and cannot be turned off.
"""

from __future__ import annotations

from components.evaluation.gates.evidence import GateEvidence, NotAnalysed
from components.evaluation.gates.findings import Finding, UnusableEvidenceError, require_digest_of, require_finite
from components.types.tfx import RATE_METRICS, ModelAnalysis, ThresholdResult


def analysis(evidence: GateEvidence) -> list[Finding]:
    """Hold every threshold against the value that was found; what the analysis says of itself is not enough."""
    found = evidence.analysis
    if found is None or isinstance(found, NotAnalysed):
        raise UnusableEvidenceError("the training's analysis is missing or cannot be read; train again")
    require_digest_of(found.product_digest, evidence.product_digest, "the analysis")
    require_digest_of(found.dataset_digest, evidence.dataset_digest, "the analysis' data")
    if not any(not each.column and each.rows > 0 for each in found.slices):
        raise UnusableEvidenceError("the analysis saw no row")
    if not any(not each.column for each in found.thresholds):
        raise UnusableEvidenceError("the analysis has no threshold on all rows, so it says nothing")
    findings = [_held(each, found) for each in found.thresholds]
    if all(each.passed for each in findings) and not found.blessed:
        findings.append(Finding(False, "the Evaluator did not bless the product, though every threshold seems to hold"))
    return findings


def _held(threshold: ThresholdResult, analysis: ModelAnalysis) -> Finding:
    cut = next(
        (each for each in analysis.slices if (each.column, each.value) == (threshold.column, threshold.value)), None
    )
    where = f"{threshold.metric}{f' of {threshold.column} = {threshold.value}' if threshold.column else ''}"
    value = None if cut is None else cut.metrics.get(threshold.metric)
    if value is None:
        return Finding(False, f"{where} could not be computed, and a threshold is on it")
    value = require_finite(value, where)
    bound = require_finite(threshold.bound, f"the threshold on {where}")
    is_lower = threshold.metric in RATE_METRICS
    return Finding(
        value >= bound if is_lower else value <= bound,
        f"{where} is {value:.4g} in the Evaluator's analysis, {'at least' if is_lower else 'at most'} {bound:.4g}",
    )
