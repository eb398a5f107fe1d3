"""One look at every rollout: apply what is open, observe, let the state machine decide, commit. Idempotent.

Nothing depends on one process staying alive: whoever ticks next goes on from the ledger. A lease keeps two ticks from
working on one slot at once, and its fence turns away one that slept through its own.

What moves traffic comes first, and only then whatever else follows the ledger: an MLflow or a publisher that is slow or
down must not keep an alarm from its rollback.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from components.errors import DigestMismatchError, GateRefusedError, TowpathError
from components.release.ledger import Ledger
from components.release.machine import next_action
from components.release.plan import ReleasePlan
from components.release.records import Event, Lease, RecordedVersion, Slot
from components.release.rollout import ROLLBACK, Action, Advance, Hold, Pause, RollBack, RolloutEvidence
from components.release.states import on_its_way, without_rollout
from components.tracking.connection import time_limit
from components.types.evaluation import Verdict
from components.types.record import dump
from components.types.release import Environment
from pipelines.release.apply import MLFLOW_S, ROLES, Applied, apply_rest, apply_traffic, problems, route_traffic
from pipelines.release.commit import AUTOMATIC, Move, commit, refusal
from pipelines.release.environments import EnvironmentConfig
from pipelines.release.golden import golden_verdict, replayed
from pipelines.release.observe import (
    Observation,
    ask_target,
    keep_observation,
    rollout_evidence,
    stored_plan,
    subject_of,
)
from pipelines.release.sinks import ROUTER
from pipelines.release.slot_lease import slot_lease

LEASE_S = 60.0


@dataclass(frozen=True)
class Ticked:
    """What one look at one slot came to."""

    model: str
    env: str
    rev: int
    """Afterwards."""
    action: str
    """``advance``, ``hold``, ``pause``, ``roll_back``, ``settled``, ``failed``; ``busy``: somebody else is at it."""
    target: str
    """Where it went; empty where nothing moved."""
    needs_person: bool
    verdicts: tuple[Verdict, ...]
    sentences: tuple[str, ...]
    """What a person should know."""


def tick(env: EnvironmentConfig, model: str) -> Ticked:
    """Look once at one slot, alone, and let everything follow.

    Raises:
        AlreadyRunningError: somebody else is at it.
        InfrastructureError: the ledger cannot be reached, or what follows from it failed.
    """
    with time_limit(MLFLOW_S), alone(env, model) as lease:
        looked = _look(env, env.ledger(), model, lease)
        return with_sentences(looked, problems(apply_rest(env, model)))


def look(env: EnvironmentConfig, model: str) -> Ticked:
    """Look once at one slot, alone, and move its traffic; what else follows stays open.

    Raises:
        AlreadyRunningError: somebody else is at it.
        InfrastructureError: the ledger cannot be reached.
    """
    with alone(env, model) as lease:
        return _look(env, env.ledger(), model, lease)


def foresee(env: EnvironmentConfig, model: str) -> Ticked:
    """Return what a tick would come to now; nothing is changed, so that what is open stays open.

    Raises:
        InfrastructureError: the ledger cannot be reached.
    """
    slot = env.ledger().slot(model, env.name)
    rollout = _rollout(env, slot)
    if rollout is None:
        return _told(slot, "settled")
    seen = ask_target(env.target(model, rollout.plan), rollout.windows_s)
    action = next_action(rollout.plan, slot, _gathered(env, slot, rollout, seen, store=False))
    if isinstance(action, Hold):
        return _told(slot, "hold" if rollout.watched else "settled", action=action, also=(seen.problem,))
    kind, target = _named(action)
    return _told(slot, kind, action=action, target=target, also=(_reason(action),))


def with_sentences(looked: Ticked, sentences: Iterable[str]) -> Ticked:
    """Return what a look came to, with more that a person should know."""
    return replace(looked, sentences=(*looked.sentences, *sentences))


def alone(env: EnvironmentConfig, model: str) -> AbstractContextManager[Lease]:
    """Return what holds a slot's lease for the length of a block; see `slot_lease` for what it raises."""
    return slot_lease(env, model, LEASE_S, wait_s=0.0)


@dataclass(frozen=True)
class _Rollout:
    """What is looked at in a slot."""

    version: RecordedVersion
    events: tuple[Event, ...]
    plan: ReleasePlan
    watched: bool
    """Whether something is on its way or within its bake time, so that failed observations count."""

    @property
    def windows_s(self) -> tuple[float, float]:
        return self.plan.bake.long_window_s, self.plan.bake.short_window_s


def _rollout(env: EnvironmentConfig, slot: Slot) -> _Rollout | None:
    """Return what there is to look at; None where nothing stands, or where nothing ever moves by itself."""
    number, ledger = subject_of(slot), env.ledger()
    if number is None or env.name is Environment.LOCAL:  # no rollout there, and its gateway need not run
        return None
    watched = on_its_way(slot) is not None or slot.previous is not None
    _, plan = stored_plan(env, slot, number)
    return _Rollout(ledger.version(slot.model, number), ledger.events(slot.model, env.name), plan, watched)


def _gathered(
    env: EnvironmentConfig, slot: Slot, rollout: _Rollout, seen: Observation, *, store: bool
) -> RolloutEvidence:
    trouble = None
    if rollout.watched:
        most_errors = rollout.plan.pause.metric_errors
        trouble = keep_observation(env, slot, rollout.version, seen, most_errors, store=store)
    return rollout_evidence(env, slot, rollout.version, rollout.events, seen=seen, trouble=trouble)


def _look(env: EnvironmentConfig, ledger: Ledger, model: str, lease: Lease) -> Ticked:
    applied = apply_traffic(env, model)
    slot = ledger.slot(model, env.name)
    rollout = _rollout(env, slot)
    if rollout is None:
        return _told(slot, "settled", applied=applied)
    seen, mended = _mend(env, slot, ask_target(env.target(model, rollout.plan), rollout.windows_s))
    evidence = _gathered(env, slot, rollout, seen, store=True)
    action = next_action(rollout.plan, slot, evidence)
    if isinstance(action, Hold):
        kind, also = "hold" if rollout.watched else "settled", (seen.problem, mended)
        return _told(slot, kind, action=action, applied=applied, also=also)
    return _carry_out(env, slot, rollout, action, evidence, lease)


def _mend(env: EnvironmentConfig, slot: Slot, seen: Observation) -> tuple[Observation, str]:
    """Route again where the servers are behind the ledger with nothing open: a restart, or a file that was put back."""
    if seen.problem or seen.served_rev is None or seen.served_rev >= slot.rev:
        return seen, ""
    if any((row.model, row.sink) == (slot.model, ROUTER) for row in env.ledger().pending(env.name)):
        return seen, ""  # it was just tried, and is told of
    try:
        route_traffic(env, slot)
    except TowpathError as error:
        return seen, f"the servers are at revision {seen.served_rev}, the ledger at {slot.rev}: {error}"
    return seen, f"the servers were at revision {seen.served_rev} and were sent to {slot.rev} again"


def _carry_out(
    env: EnvironmentConfig,
    slot: Slot,
    rollout: _Rollout,
    action: Advance | Pause | RollBack,
    evidence: RolloutEvidence,
    lease: Lease,
) -> Ticked:
    if isinstance(action, Advance):
        try:
            _prepare(env, slot, action, rollout.plan)
        except DigestMismatchError as error:
            action = RollBack(without_rollout(slot), f"digest mismatch: {error}")
    kind, target = _named(action)
    moved = rollout.version.version
    if target == ROLLBACK and slot.stable is not None:  # also where something else was on its way
        moved = slot.stable
    move = Move(
        version=moved,
        target=target,
        to=action.to,
        actor=AUTOMATIC,
        reason=_reason(action),
        plan_digest=rollout.plan.digest,
        verdicts=action.verdicts if isinstance(action, Advance) else (),
        approvals=tuple(each for each in evidence.approvals if each.rev == slot.rev),
        observed=dump(evidence.report),
    )
    after = commit(env, slot, move, lease)
    applied = apply_traffic(env, slot.model)
    return _told(after, kind, action=action, target=target, applied=applied, also=(move.reason,))


def _prepare(env: EnvironmentConfig, slot: Slot, action: Advance, plan: ReleasePlan) -> None:
    """Have every version of the next placement loaded and warm before traffic may go there.

    A candidate answers golden requests again: days may lie between its promotion and its first traffic, and its servers
    may be others by now. Whatever is in the split already is the judge's business.

    Raises:
        DigestMismatchError: bytes are not those that were promised.
        GateRefusedError: the servers answer golden requests otherwise.
        FaultError: a version does not load.
        InfrastructureError: the target is down, or did not get ready in time.
    """
    target = env.target(slot.model, plan)
    for role in ROLES:
        number = getattr(action.to, role.value)
        if number is None:
            continue
        version = env.ledger().version(slot.model, number)
        target.deploy(role, version.ref)
        if number == slot.candidate:
            golden = golden_verdict(target, number, replayed(env, version))
            if not golden.passed:
                raise GateRefusedError(refusal(slot.model, number, env.name.value, [golden]))


def _named(action: Advance | Pause | RollBack) -> tuple[str, str]:
    """Return what kind of action it is, and the target that its event carries."""
    match action:
        case Advance():
            return "advance", action.target
        case Pause():
            return "pause", "paused"
        case RollBack():
            return "roll_back", action.target


def _reason(action: Advance | Pause | RollBack) -> str:
    if isinstance(action, Advance):
        names = ", ".join(dict.fromkeys(verdict.gate for verdict in action.verdicts))
        return f"all {len(action.verdicts)} gates pass: {names}"  # their reasons are in the decision's evidence
    return action.reason


def _told(
    slot: Slot,
    kind: str,
    *,
    action: Action | None = None,
    target: str = "",
    applied: tuple[Applied, ...] = (),
    also: tuple[str, ...] = (),
) -> Ticked:
    verdicts = action.verdicts if action is not None else ()
    sentences = tuple(each for each in (*also, *problems(applied)) if each)
    waits = isinstance(action, Hold) and action.needs_person
    return Ticked(slot.model, slot.env.value, slot.rev, kind, target, waits, verdicts, sentences)
