"""Break a training's own analysis, where it makes one, and judge the candidate as the pipeline would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from components.evaluation.gates.evidence import GateEvidence
from components.evaluation.proof.breaks import BREAKS, Bench
from components.evaluation.proof.outcome import Expectation, Proof
from components.types.tfx import RATE_METRICS, ModelAnalysis


def breaks_of(evidence: GateEvidence) -> tuple[Callable[[Bench], Proof], ...]:
    """Return the breaks that a candidate has something for."""
    own = (analysis_of_another_product, missed_threshold) if isinstance(evidence.analysis, ModelAnalysis) else ()
    return BREAKS + own


def analysis_of_another_product(bench: Bench) -> Proof:
    """Present the analysis of another product, with evidence of the candidate around it."""
    found = _analysis(bench)
    other = "0" * len(found.product_digest)
    return bench.judge(
        "analysis of another product",
        "the analysis was replaced by one of another product",
        replace(bench.evidence, analysis=replace(found, product_digest=other)),
        Expectation(("analysis",), "expected"),
    )


def missed_threshold(bench: Bench) -> Proof:
    """Make a metric miss its threshold in the analysis, which goes on saying that all is well."""
    found = _analysis(bench)
    line = found.thresholds[0]
    worse = line.bound + (-1.0 if line.metric in RATE_METRICS else 1.0)
    slices = tuple(
        replace(each, metrics={**each.metrics, line.metric: worse})
        if (each.column, each.value) == (line.column, line.value)
        else each
        for each in found.slices
    )
    return bench.judge(
        "missed threshold",
        f"{line.metric} was moved past its threshold, and the analysis went on saying that it holds",
        replace(bench.evidence, analysis=replace(found, slices=slices)),
        Expectation(("analysis",), f"{line.bound:.4g}"),
    )


def _analysis(bench: Bench) -> ModelAnalysis:
    assert isinstance(bench.evidence.analysis, ModelAnalysis)
    return bench.evidence.analysis
