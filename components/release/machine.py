"""What becomes of a rollout: pure functions from plan, slot and evidence to an action. No database, server or clock.

Looked at in this order, and the first that speaks decides: whether the stable version gives way in its bake time, what
must be undone (unconfirmed, other bytes, alarm), a pause that goes on, what must pause, the guards of the next step.
Whatever is missing holds; nothing passes in silence.
"""

from __future__ import annotations

from collections.abc import Iterable

from components.release import states
from components.release.guards import approval, bake, entry, integrity, pauses
from components.release.guards.ramp import ramp_verdicts
from components.release.guards.shadow import shadow_verdicts
from components.release.plan import ReleasePlan
from components.release.records import Slot
from components.release.rollout import ROLLBACK, Action, Advance, Hold, Pause, RollBack, RolloutEvidence
from components.types.evaluation import Verdict
from components.types.release import Environment


def next_action(plan: ReleasePlan, slot: Slot, evidence: RolloutEvidence) -> Action:
    """Return what is to be done about a slot now; never raises, and the same evidence gives the same answer."""
    if states.on_its_way(slot) is None:
        return _watch_stable(plan, slot, evidence)
    burns = _burns_beside(plan, slot, evidence)
    if isinstance(burns, RollBack):
        return burns
    if undone := _undo(plan, slot, evidence):
        return undone
    subject = integrity.right_subject(slot, evidence)
    if not subject.passed:
        return Hold((subject,), needs_person=True)
    if slot.paused:
        return _wait_for_person(plan, slot, evidence, burns)
    stops = _stops(plan, slot, evidence)
    if reasons := _against(stops):
        return Pause(states.paused(slot), reasons, stops)
    return burns or _step(plan, slot, evidence)


def entry_verdicts(plan: ReleasePlan, env: Environment, slot: Slot, evidence: RolloutEvidence) -> tuple[Verdict, ...]:
    """Return what must pass before a version is committed as candidate; nothing may be moved where one refuses."""
    return entry.entry_verdicts(plan, env, slot, evidence)


def next_target(plan: ReleasePlan, slot: Slot) -> str:
    """Return the target of the step that may follow: ``shadow``, ``canary:5``, ``stable``, or nothing."""
    step = states.next_step(plan, slot)
    return step.target if step else ""


def step_verdicts(plan: ReleasePlan, slot: Slot, evidence: RolloutEvidence) -> tuple[Verdict, ...]:
    """Return what the guards of the next step say; all must pass, and none at all is no pass."""
    step = states.next_step(plan, slot)
    if step is None:
        return (_no_such_step(plan, slot),)
    verdicts = [Verdict("plan", True, step.said)]
    if slot.candidate is not None:
        verdicts += entry.entry_verdicts(plan, slot.env, slot, evidence)
    if step.compared:
        verdicts += [integrity.fresh_report(slot, evidence), integrity.calm(plan, evidence)]
    if slot.shadow is not None and plan.shadow is not None:
        verdicts += shadow_verdicts(plan.shadow, evidence)
    verdicts += [
        verdict
        for each in plan.canary
        if slot.canary is not None and each.weight == slot.weight
        for verdict in ramp_verdicts(each, plan.ramp, evidence)
    ]
    if step.target != states.SHADOW:
        verdicts.append(integrity.fallback(slot, evidence))
    verdicts.append(approval.approval_verdict(plan, slot, step.target, evidence))
    return tuple(verdicts)


def _undo(plan: ReleasePlan, slot: Slot, evidence: RolloutEvidence) -> RollBack | None:
    """Return the rollback of a version on its way for which there is a reason, whether it is paused or not."""
    checks = [integrity.unharmed(plan, slot, evidence)]
    if slot.candidate is None:  # a candidate has no traffic that servers could be late with
        checks.insert(0, integrity.confirmed(plan, slot, evidence))
    if not (reasons := _against(checks)):
        return None
    return RollBack(states.without_rollout(slot), reasons, tuple(checks))


def _wait_for_person(plan: ReleasePlan, slot: Slot, evidence: RolloutEvidence, burns: Hold | None) -> Action:
    waited = pauses.pause_ended(plan, evidence)
    if not waited.passed:
        return RollBack(states.without_rollout(slot), _against([waited]), (waited,))
    return Hold((waited, *(burns.verdicts if burns else ())), needs_person=True)


def _stops(plan: ReleasePlan, slot: Slot, evidence: RolloutEvidence) -> tuple[Verdict, ...]:
    if slot.candidate is None:
        return pauses.pause_verdicts(plan, slot, evidence)
    step = states.next_step(plan, slot)
    # where nothing is compared yet, there need not be a server that could be asked
    return (pauses.metric_source(plan, evidence),) if step and step.compared else ()


def _step(plan: ReleasePlan, slot: Slot, evidence: RolloutEvidence) -> Action:
    verdicts = step_verdicts(plan, slot, evidence)
    refused = [verdict for verdict in verdicts if not verdict.passed]
    step = states.next_step(plan, slot)
    if step is not None and not refused:
        return Advance(step.target, step.to, verdicts)
    only_approvals = all(verdict.gate == approval.GATE for verdict in refused)
    waited = pauses.conclusive(plan, evidence)
    looked = evidence.report is not None or evidence.served_rev is not None
    if looked and not only_approvals and not waited.passed:
        return Pause(states.paused(slot), f"{_against([waited])}; missing: {_against(refused)}", (*verdicts, waited))
    return Hold(verdicts, needs_person=only_approvals or step is None)


def _watch_stable(plan: ReleasePlan, slot: Slot, evidence: RolloutEvidence) -> Action:
    """Look after a version that is stable: within its bake time it is rolled back when it burns its error budget."""
    if said := _why_not_baking(plan, slot, evidence):
        return Hold((_settled(said),))
    burn = bake.burn_verdict(plan.bake, slot, evidence)
    checks = (integrity.confirmed(plan, slot, evidence), _own_bytes(evidence), burn)
    reasons = _against(checks[:2])
    if bake.is_burning(plan.bake, slot, evidence):
        reasons = "; ".join(filter(None, [reasons, *burn.reasons]))
    return _give_way(slot, evidence, reasons, checks) if reasons else Hold(checks)


def _burns_beside(plan: ReleasePlan, slot: Slot, evidence: RolloutEvidence) -> RollBack | Hold | None:
    """Look after the stable version's bake time while another one is on its way; None where it keeps its budget.

    Where it cannot give way, the other one may not rise either: beside a failing version any version looks well.
    """
    if _why_not_baking(plan, slot, evidence) or not bake.is_burning(plan.bake, slot, evidence):
        return None
    burn = bake.burn_verdict(plan.bake, slot, evidence)
    return _give_way(slot, evidence, "; ".join(burn.reasons), (burn,))


def _why_not_baking(plan: ReleasePlan, slot: Slot, evidence: RolloutEvidence) -> str:
    """Return why the stable version would not be rolled back by itself, whatever it does; empty in its bake time."""
    if slot.stable is None:
        return f"nothing of {slot.model} stands in {slot.env} yet"
    name = f"version {slot.stable} is stable in {slot.env}"
    if slot.env is Environment.LOCAL:
        return f"{name}, where there is no rollout and no bake time"
    if slot.previous is None:
        return f"{name}, and there is no previous version to go back to"
    if evidence.stable_since is None:
        return (
            f"{name} by a rollback and not by a promotion: version {slot.previous}, which stood before it, is never "
            "put back by itself; name it if it should be"
        )
    if bake.is_over(plan.bake, evidence):
        return f"{name} since more than its bake time of {plan.bake.seconds:g} s"
    return ""


def _give_way(slot: Slot, evidence: RolloutEvidence, reasons: str, checks: tuple[Verdict, ...]) -> RollBack | Hold:
    """Return the rollback of the stable version, which ends what is on its way, if the previous one can take over."""
    loadable = integrity.previous_loads(slot, evidence)
    if not loadable.passed:
        return Hold((*checks, loadable), needs_person=True)
    return RollBack(states.with_previous_back(slot), reasons, (*checks, loadable), ROLLBACK)


def _own_bytes(evidence: RolloutEvidence) -> Verdict:
    said = evidence.mismatch or "nobody found bytes that were not promised"
    return Verdict("bytes", evidence.mismatch is None, (said,))


def _settled(said: str) -> Verdict:
    return Verdict("settled", True, (said,))


def _no_such_step(plan: ReleasePlan, slot: Slot) -> Verdict:
    at = f"canary:{slot.weight}" if slot.canary is not None else states.SHADOW
    steps = [states.SHADOW] * (plan.shadow is not None) + [f"canary:{each.weight}" for each in plan.canary]
    said = f"the plan has no step {at}, only {', '.join(steps) or 'none'}; abort, and promote again under another plan"
    return Verdict("plan", False, (said,))


def _against(verdicts: Iterable[Verdict]) -> str:
    return states.reasons(each for each in verdicts if not each.passed)
