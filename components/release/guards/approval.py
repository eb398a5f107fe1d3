"""Who agreed to a step: each word bound to bytes, step and revision, not for ever, and never the author's own."""

from __future__ import annotations

from datetime import datetime, timedelta

from components.release.plan import ReleasePlan
from components.release.records import Approval, Decision, Slot
from components.release.rollout import RolloutEvidence
from components.types.evaluation import Verdict

GATE = "approvals"


def approval_verdict(plan: ReleasePlan, slot: Slot, target: str, evidence: RolloutEvidence) -> Verdict:
    """Return whether enough people agreed to a step, and nobody said no.

    Only a step to stable needs approvals; a rejection refuses any step until the slot moves on.
    """
    bound = [each for each in evidence.approvals if _is_about(each, slot, target, evidence)]
    if refusing := _refusing(bound, plan, evidence):
        return Verdict(GATE, False, tuple(f"{each.actor} rejected {target}: {each.reason}" for each in refusing))
    needed = plan.approvals.stable if target == "stable" else 0
    if needed == 0:
        said = f"{target} needs nobody's approval under this plan, and nobody rejected it"
        return Verdict(GATE, True, (said,))
    void = {each.actor: why for each in bound if (why := _void(each, plan, evidence))}
    agreed = sorted({each.actor for each in bound if not _void(each, plan, evidence)})
    reasons = [f"approvals of {target}: {len(agreed)} of {needed} needed ({', '.join(agreed) or 'nobody yet'})"]
    reasons += [f"the approval of {actor} does not count: {why}" for actor, why in void.items() if actor not in agreed]
    return Verdict(GATE, len(agreed) >= needed, tuple(reasons))


def in_force(plan: ReleasePlan, slot: Slot, target: str, evidence: RolloutEvidence) -> tuple[Approval, ...]:
    """Return whose words hold for a step now: the approvals that count, and the rejections that nobody took back."""
    bound = [each for each in evidence.approvals if _is_about(each, slot, target, evidence)]
    agreed = [each for each in bound if not _void(each, plan, evidence)]
    return (*agreed, *_refusing(bound, plan, evidence))


def _is_about(approval: Approval, slot: Slot, target: str, evidence: RolloutEvidence) -> bool:
    subject = evidence.subject
    given = (approval.model, approval.env, approval.version, approval.artifact_digest, approval.target, approval.rev)
    return given == (slot.model, slot.env, subject.version, subject.digest, target, slot.rev)


def _refusing(bound: list[Approval], plan: ReleasePlan, evidence: RolloutEvidence) -> list[Approval]:
    """Return the rejections that their own actor did not take back with a later approval that counts."""
    agreed = [each for each in bound if not _void(each, plan, evidence)]
    return [
        each
        for each in bound
        if each.decision is not Decision.APPROVE
        and not any(other.actor == each.actor and _is_later(other, each) for other in agreed)
    ]


def _is_later(one: Approval, other: Approval) -> bool:
    first, second = _time(one.at), _time(other.at)
    return first is not None and second is not None and first > second


def _void(approval: Approval, plan: ReleasePlan, evidence: RolloutEvidence) -> str:
    """Return why an approval that is about this step does not count; empty where it does."""
    if approval.decision is not Decision.APPROVE:
        return "it is a rejection"
    if not approval.actor:
        return "nobody gave it"
    if not evidence.subject.author:
        return "nobody knows who the version's author is"
    if approval.actor == evidence.subject.author:
        return "the author may not approve their own version"
    given, expires, now = _time(approval.at), _time(approval.expires_at), evidence.now
    if given is None or expires is None or now.tzinfo is None:
        return "its times cannot be read"
    if given > now:
        return f"it is dated {approval.at}, which is still to come"
    try:
        expires = min(expires, given + timedelta(seconds=plan.approvals.expire_s))
    except OverflowError:
        return "its times cannot be read"
    return "" if now < expires else f"it expired at {expires.isoformat(timespec='seconds')}"


def _time(text: str) -> datetime | None:
    """Return a time that names its zone; None where the text is none."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo is not None else None
