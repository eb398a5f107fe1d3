"""What a shadow must show before any user sees the version. Knows no weight."""

from __future__ import annotations

from collections.abc import Iterator

from components.release.guards.findings import Finding, at_least, below, verdict
from components.release.plan import ShadowStep
from components.release.rollout import RolloutEvidence
from components.types.evaluation import Verdict


def shadow_verdicts(step: ShadowStep, evidence: RolloutEvidence) -> tuple[Verdict, ...]:
    """Return what the guards of the shadow step say."""
    return (
        verdict("mirrored", _mirrored(step, evidence)),
        time_passed(step.seconds, evidence),
        verdict("drift", _drift(step, evidence)),
    )


def time_passed(seconds: float, evidence: RolloutEvidence) -> Verdict:
    """Return whether a step lasted long enough by the ledger's clock and by the gateway's, so that neither may jump."""
    by_gateway = evidence.report.seconds if evidence.report else None
    return verdict(
        "time",
        [
            at_least("since the commit", evidence.elapsed_s, seconds, " s"),
            at_least("since the gateway took it over", by_gateway, seconds, " s"),
        ],
    )


def _mirrored(step: ShadowStep, evidence: RolloutEvidence) -> Iterator[Finding]:
    shadow = evidence.report.shadow if evidence.report else None
    yield at_least("mirrored requests", shadow.mirrored if shadow else None, step.requests)


def _drift(step: ShadowStep, evidence: RolloutEvidence) -> Iterator[Finding]:
    drift = evidence.report.drift if evidence.report else None
    yield at_least("predictions compared", drift.rows if drift else None, step.psi_min)
    yield below("PSI of the predictions", drift.psi if drift else None, step.max_psi)
