"""When a rollout stops by itself and waits for a person: nothing is known to be wrong, and nothing is sure."""

from __future__ import annotations

from components.release.guards.findings import Finding, at_least, at_most, below, number, verdict
from components.release.guards.integrity import is_fresh
from components.release.plan import ReleasePlan
from components.release.records import Slot
from components.release.rollout import RolloutEvidence
from components.types.evaluation import Verdict


def pause_verdicts(plan: ReleasePlan, slot: Slot, evidence: RolloutEvidence) -> tuple[Verdict, ...]:
    """Return what is to be known about a version that traffic goes to; each that refuses pauses."""
    return (
        _data(plan, slot, evidence),
        metric_source(plan, evidence),
        _split(plan, slot, evidence),
        _weight(slot, evidence),
    )


def metric_source(plan: ReleasePlan, evidence: RolloutEvidence) -> Verdict:
    """Return whether the servers answered lately."""
    return verdict(
        "metric_source", [below("observations failed in a row", evidence.metric_errors, plan.pause.metric_errors)]
    )


def conclusive(plan: ReleasePlan, evidence: RolloutEvidence) -> Verdict:
    """Return whether a step may go on waiting for its guards."""
    limit = plan.pause.inconclusive_s
    waited = evidence.elapsed_s
    return Verdict(
        "conclusive",
        not waited >= limit,
        (f"neither its guards nor an alarm for {number(waited)} s; it may take up to {number(limit)} s",),
    )


def pause_ended(plan: ReleasePlan, evidence: RolloutEvidence) -> Verdict:
    """Return whether a pause may go on waiting for a person."""
    limit, waited = plan.pause.roll_back_after_s, evidence.elapsed_s
    return Verdict(
        "pause",
        not waited >= limit,
        (f"paused for {number(waited)} s and nobody ended it; it is rolled back after {number(limit)} s",),
    )


def _data(plan: ReleasePlan, slot: Slot, evidence: RolloutEvidence) -> Verdict:
    limit, report = plan.pause.no_data_s, evidence.report
    what = "seconds without a request to the version"
    if report is None and evidence.served_rev is None:
        return Verdict("data", True, ("the servers were not asked, which counts as a failed observation",))
    if report is None or not is_fresh(slot, report):
        waited = evidence.elapsed_s  # the servers answer, and know nothing of this revision
        return Verdict("data", not waited > limit, (f"{what}: {number(waited)}, at most {number(limit)} needed",))
    arm = report.canary if slot.canary is not None else report.shadow
    idle_s = report.seconds if arm is None or arm.idle_s is None else arm.idle_s
    return verdict("data", [at_most(what, idle_s, limit)])


def _split(plan: ReleasePlan, slot: Slot, evidence: RolloutEvidence) -> Verdict:
    report = evidence.report
    if slot.canary is None or report is None or not is_fresh(slot, report):
        return Verdict("split", True, ("no users are split between versions that could be counted",))
    if report.split_p is None:
        return Verdict("split", True, ("too few users to compare the observed split with the weight",))
    what = f"probability of the observed split at {slot.weight} %"
    return verdict("split", [at_least(what, report.split_p, plan.pause.split_p)])


def _weight(slot: Slot, evidence: RolloutEvidence) -> Verdict:
    report = evidence.report
    if report is None or not is_fresh(slot, report):
        return Verdict("weight", True, ("no report of this revision says which weight is in effect",))
    wanted = slot.weight if slot.canary is not None else 0
    said = f"weight in effect: {number(report.weight)} %, in the slot: {wanted} %"
    return verdict("weight", [Finding(report.weight == wanted, said)])
