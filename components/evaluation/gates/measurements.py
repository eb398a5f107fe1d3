"""The gates on what surrounds quality: that evidence is of the artifact, parity, size and latency. Pure."""

from __future__ import annotations

from components.evaluation.gates.config import LatencyGate, ParityGate, SizeGate
from components.evaluation.gates.evidence import ChampionComparison, GateEvidence
from components.evaluation.gates.findings import Finding, UnusableEvidenceError, require_digest_of, require_finite
from components.types.tfx import ModelAnalysis


def bound_evidence(evidence: GateEvidence) -> list[Finding]:
    """Check that every piece of evidence is about the product and the data that are judged."""
    product, data = evidence.product_digest, evidence.dataset_digest
    candidate = evidence.candidate
    require_digest_of(candidate.product_digest, product, "the evaluation")
    require_digest_of(candidate.dataset_digest, data, "the evaluation's data")
    for what, piece in (("parity", evidence.parity), ("size", evidence.size), ("latency", evidence.latency)):
        if piece is not None:
            require_digest_of(piece.product_digest, product, f"the {what}")
    if evidence.baseline is not None:
        require_digest_of(evidence.baseline.dataset_digest, data, "the baseline's data")
    if isinstance(evidence.champion, ChampionComparison):
        require_digest_of(evidence.champion.candidate_digest, product, "the comparison with the champion")
        require_digest_of(evidence.champion.dataset_digest, data, "the comparison's data")
    if isinstance(evidence.analysis, ModelAnalysis):
        require_digest_of(evidence.analysis.product_digest, product, "the analysis")
        require_digest_of(evidence.analysis.dataset_digest, data, "the analysis' data")
    for name, split in (("validation", candidate.validation), ("test", candidate.test)):
        if split.rows <= 0:
            raise UnusableEvidenceError(f"the {name} split has no rows")
    return [Finding(True, f"all evidence is of product {product[:12]} on data {data[:12]}")]


def parity(evidence: GateEvidence, gate: ParityGate) -> list[Finding]:
    """Compare the exported graph's largest difference from its framework with the bound."""
    found = evidence.parity
    if found is None:
        raise UnusableEvidenceError("the exported graph was not compared with its framework")
    require_digest_of(found.product_digest, evidence.product_digest, "the parity")
    difference = require_finite(found.largest_difference, "the largest difference from the framework")
    bound = require_finite(found.bound if gate.bound is None else gate.bound, "the bound of parity")
    if difference < 0 or bound <= 0:
        raise UnusableEvidenceError(f"a difference of {difference} with a bound of {bound} means nothing")
    return [
        Finding(difference <= bound, f"the graph differs from its framework by {difference:.3g}, at most {bound:.3g}")
    ]


def size(evidence: GateEvidence, gate: SizeGate) -> list[Finding]:
    """Compare the product's bytes with what may be served."""
    found = evidence.size
    if found is None:
        raise UnusableEvidenceError("the product's size was not measured")
    require_digest_of(found.product_digest, evidence.product_digest, "the size")
    if found.bytes <= 0:
        raise UnusableEvidenceError(f"a product of {found.bytes} bytes was not measured")
    return [
        Finding(found.bytes <= gate.max_bytes, f"the product has {found.bytes:,} bytes, at most {gate.max_bytes:,}")
    ]


def latency(evidence: GateEvidence, gate: LatencyGate) -> list[Finding]:
    """Compare the time that one row takes with what is asked for."""
    found = evidence.latency
    if found is None:
        raise UnusableEvidenceError("the latency was not measured")
    require_digest_of(found.product_digest, evidence.product_digest, "the latency")
    p95_ms = require_finite(found.row_p95_ms, "the latency")
    if p95_ms <= 0:
        raise UnusableEvidenceError(f"a latency of {p95_ms} ms was not measured")
    return [Finding(p95_ms <= gate.p95_ms, f"one row takes {p95_ms:.3g} ms (p95), at most {gate.p95_ms:.3g} ms")]
