"""The gate against the champion: not worse by the margin, with confidence, on the same rows. Pure."""

from __future__ import annotations

import math

from components.evaluation.gates.config import ChampionGate
from components.evaluation.gates.evidence import ChampionComparison, GateEvidence, NoChampion, UnscorableChampion
from components.evaluation.gates.findings import (
    Finding,
    UnusableEvidenceError,
    known_direction,
    require_digest_of,
    require_finite,
)
from components.evaluation.gates.margins import allowance, improvement, is_not_worse


def champion(evidence: GateEvidence, gate: ChampionGate) -> list[Finding]:
    """Refuse a candidate that may be worse than the champion by more than the margin."""
    found = evidence.champion
    if found is None:
        raise UnusableEvidenceError("nobody asked the ledger for a champion")
    if isinstance(found, NoChampion):
        return [Finding(True, f"there is no champion yet: {found.reason}")]
    if isinstance(found, UnscorableChampion):
        return [_waived(evidence, found)]
    _require_sound(evidence, found, gate)
    allowed = allowance(found.metric, found.champion, gate.margin)
    return [
        Finding(
            is_not_worse(found.low, allowed),
            f"{found.metric} is {found.candidate:.6g}, the champion {found.champion_digest[:12]} has "
            f"{found.champion:.6g} on the same {found.rows} rows: better by {found.improvement:+.4g} "
            f"[{found.low:+.4g}, {found.high:+.4g}] at {found.confidence:.0%}, at least {-allowed:+.4g} is asked for",
        )
    ]


def _waived(evidence: GateEvidence, found: UnscorableChampion) -> Finding:
    said = f"the champion {found.champion_digest[:12]} cannot be scored: {found.reason}"
    if found.waiver is None:
        raise UnusableEvidenceError(
            f"{said}; only a waiver for these two digests lets the candidate pass: "
            f"`towpath waive {evidence.candidate.model} {evidence.product_digest[:12]} --reason …`"
        )
    require_digest_of(found.waiver.candidate_digest, evidence.product_digest, "the waiver")
    require_digest_of(found.waiver.champion_digest, found.champion_digest, "the champion of the waiver")
    return Finding(
        True, f"{said}; {found.waiver.actor} waived the comparison on {found.waiver.at[:10]}: {found.waiver.reason}"
    )


def _require_sound(evidence: GateEvidence, found: ChampionComparison, gate: ChampionGate) -> None:
    require_digest_of(found.candidate_digest, evidence.product_digest, "the comparison with the champion")
    require_digest_of(found.dataset_digest, evidence.dataset_digest, "the comparison's data")
    if not found.champion_digest or found.champion_digest == found.candidate_digest:
        raise UnusableEvidenceError(
            f"the champion {found.champion_digest[:12]} was compared with itself; that says nothing about the candidate"
        )
    if found.metric != evidence.candidate.primary:
        raise UnusableEvidenceError(
            f"compared by {found.metric}, expected the primary metric {evidence.candidate.primary}"
        )
    if found.direction is not known_direction(evidence.candidate.task, found.metric):
        raise UnusableEvidenceError(f"{found.metric} was compared as {found.direction.value} is better; it is not")
    if found.rows != evidence.candidate.test.rows or found.rows <= 0:
        raise UnusableEvidenceError(
            f"compared on {found.rows} rows, expected the {evidence.candidate.test.rows} of the test split"
        )
    numbers = (found.candidate, found.champion, found.improvement, found.low, found.high)
    for name, value in zip(("candidate", "champion", "improvement", "low", "high"), numbers, strict=True):
        require_finite(value, f"{name} of the comparison with the champion")
    expected = improvement(found.candidate, found.champion, found.direction)
    if not math.isclose(found.improvement, expected, rel_tol=1e-6, abs_tol=1e-8) or found.low > found.high:
        raise UnusableEvidenceError(
            f"the comparison contradicts itself: improvement {found.improvement:.6g} "
            f"[{found.low:.6g}, {found.high:.6g}] from {found.candidate:.6g} and {found.champion:.6g}"
        )
    if found.confidence < gate.confidence:
        raise UnusableEvidenceError(
            f"compared at {found.confidence:.0%} confidence, {gate.confidence:.0%} is asked for"
        )
