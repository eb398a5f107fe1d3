"""Whether what is looked at is what is moved, and whether the judge spoke. Knows no step and no count."""

from __future__ import annotations

from collections.abc import Iterator

from components.release.guards.findings import Finding, at_least, at_most, below, number, verdict
from components.release.plan import ReleasePlan
from components.release.records import Slot, VersionState
from components.release.rollout import RolloutEvidence, seconds_between
from components.types.evaluation import Verdict
from components.types.judging import JudgeReport


def right_subject(slot: Slot, evidence: RolloutEvidence) -> Verdict:
    """Return whether the evidence is about the version on its way, and no other one is."""
    placed, subject = _going(slot), evidence.subject
    same = Finding(
        placed == [subject.version] and subject.model == slot.model and bool(subject.digest),
        f"evidence is about version {subject.version} of {subject.model}, on its way is {_versions(placed)}",
    )
    new = Finding(slot.stable not in placed, f"version {subject.version} on its way, {slot.stable} is stable")
    return verdict("subject", [same, new])


def confirmed(plan: ReleasePlan, slot: Slot, evidence: RolloutEvidence) -> Verdict:
    """Return whether all servers report the slot's revision, or still have time to.

    Servers that cannot be asked are not judged here: that is an observation that failed, and pauses.
    """
    served = evidence.served_rev
    if served is None:
        return Verdict("confirmed", True, ("the servers could not be asked, which counts as a failed observation",))
    if served >= slot.rev:
        return Verdict("confirmed", True, (f"all servers report revision {served}, the slot is at {slot.rev}",))
    late = evidence.elapsed_s
    if evidence.behind_since is not None:
        late = min(late, seconds_between(evidence.behind_since, evidence.now))
    in_time = at_most(
        f"servers report revision {served} instead of {slot.rev} for", max(late, 0.0), plan.confirm_s, " s"
    )
    return verdict("confirmed", [in_time])


def unharmed(plan: ReleasePlan, slot: Slot, evidence: RolloutEvidence) -> Verdict:
    """Return whether anything was found for which a version on its way must be taken out at once."""
    findings = [Finding(evidence.mismatch is None, evidence.mismatch or "nobody found bytes that were not promised")]
    state = evidence.subject.state
    findings.append(Finding(state is VersionState.REGISTERED, f"version {evidence.subject.version} is {state}"))
    report = evidence.report
    if report is not None and _concerns(slot, report):
        reached = isinstance(report.e_value, int | float) and report.e_value >= plan.judge.threshold  # infinity, too
        said = f"e-value {number(report.e_value)}, an alarm from {number(plan.judge.threshold)}"
        findings += [*_spoken(report), Finding(not reached, said)]
    return verdict("alarm", findings)


def fresh_report(slot: Slot, evidence: RolloutEvidence) -> Verdict:
    """Return whether the judge's word is of this revision and these versions, and every server is there, too."""
    return verdict("fresh_report", _fresh(slot, evidence))


def is_fresh(slot: Slot, report: JudgeReport | None) -> bool:
    """Return whether a report is about the slot as it stands."""
    return report is not None and (report.model, report.rev) == (slot.model, slot.rev)


def calm(plan: ReleasePlan, evidence: RolloutEvidence) -> Verdict:
    """Return whether the judge watched and kept silent: an e-value that is no number is not silence."""
    return verdict("judge", _calm(plan, evidence.report))


def fallback(slot: Slot, evidence: RolloutEvidence) -> Verdict:
    """Return whether the version that a rollback of the one on its way would go back to loads."""
    if slot.stable is None:
        return Verdict(
            "fallback", slot.candidate is not None, ("nothing is stable yet, so that there is nothing to go back to",)
        )
    return _loads(slot.stable, evidence.previous_loadable)


def previous_loads(slot: Slot, evidence: RolloutEvidence) -> Verdict:
    """Return whether the version that stable would give way to in bake time loads, and is not judged just now."""
    going = _going(slot)
    if slot.previous in going:
        said = f"version {slot.previous}, to which a rollback would go back, is on its way itself; abort that first"
        return Verdict("fallback", False, (said,))
    return _loads(slot.previous, evidence.older_loadable if going else evidence.previous_loadable)


def _loads(version: int | None, loadable: bool | None) -> Verdict:
    words = {True: "was verified loadable", False: "does not load", None: "was not verified"}
    known = loadable if isinstance(loadable, bool) else None
    said = f"{_one(version)}, to which a rollback would go back, {words[known]}"
    return Verdict("fallback", version is not None and known is True, (said,))


def _going(slot: Slot) -> list[int]:
    return [each for each in (slot.candidate, slot.shadow, slot.canary) if each is not None]


def _fresh(slot: Slot, evidence: RolloutEvidence) -> Iterator[Finding]:
    report = evidence.report
    if report is None:
        yield Finding(False, "there is no report of the judge; is the gateway up?")
        return
    said = f"report is of {report.model} at revision {report.rev}, the slot is {slot.model} at {slot.rev}"
    yield Finding(is_fresh(slot, report), said)
    served = evidence.served_rev
    yield Finding(served == slot.rev, f"servers report revision {number(served)}, the slot is at {slot.rev}")
    for role, there, wanted in (
        ("stable", report.stable, slot.stable),
        ("canary", report.canary, slot.canary),
        ("shadow", report.shadow, slot.shadow),
    ):
        found = None if there is None else there.version
        if wanted is not None or found is not None:
            yield Finding(found == wanted, f"{role} in the report: {_one(found)}, in the slot: {_one(wanted)}")


def _concerns(slot: Slot, report: JudgeReport) -> bool:
    """Return whether a report is about this rollout, be it of an earlier step: an alarm is not outlived by a step."""
    if report.model != slot.model:
        return False
    arms = [arm.version for arm in (report.canary, report.shadow) if arm is not None]
    return report.rev == slot.rev or any(each in arms for each in (slot.canary, slot.shadow) if each is not None)


def _spoken(report: JudgeReport) -> list[Finding]:
    return [
        Finding(report.alarm is None, f"alarm: {report.alarm or 'none'}"),
        Finding(report.breaker is None, f"breaker: {report.breaker or 'not tripped'}"),
        Finding(
            report.killed is False, f"kill switch: {'somebody set the canary to 0' if report.killed else 'not used'}"
        ),
    ]


def _calm(plan: ReleasePlan, report: JudgeReport | None) -> Iterator[Finding]:
    if report is None:
        yield Finding(False, "there is no report of the judge; is the gateway up?")
        return
    yield from _spoken(report)
    yield below("e-value", report.e_value, plan.judge.threshold)
    for kind, value in sorted(report.e_values.items()):
        yield at_least(f"e-value of {kind}", value, 0)


def _versions(versions: list[int]) -> str:
    return ", ".join(_one(each) for each in versions) or "nothing"


def _one(version: int | None) -> str:
    return "nothing" if version is None else f"version {version}"
