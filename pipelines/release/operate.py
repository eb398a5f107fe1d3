"""What a person may do to a rollout: pause, resume, abort, roll back, reject. Each says beforehand what it changes.

A rollback is a new event forwards, and re-checks integrity only: the previous version is loaded and warm, so the
gateway undoes a release by exchanging one reference.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from components.errors import (
    BadInputError,
    ConflictError,
    FaultError,
    GateRefusedError,
    TowpathError,
    UnknownNameError,
)
from components.release.plan import ReleasePlan
from components.release.records import Event, Placement, RecordedVersion, Slot, VersionState
from components.release.rollout import ROLLBACK
from components.release.states import on_its_way, stable_since, without_rollout
from components.types.record import load
from pipelines.release.actors import Actor
from pipelines.release.apply import ROLES, apply_rest, apply_traffic, is_served, problems, served_split
from pipelines.release.commit import Move, commit
from pipelines.release.environments import EnvironmentConfig
from pipelines.release.observe import stored_plan

_POLL_S = 0.02


@dataclass(frozen=True)
class Operation:
    """One move by a person: planned, or done."""

    model: str
    env: str
    version: int
    target: str
    before: Slot
    after: Placement
    actor: str
    reason: str
    changes: str
    """What it changes, in a sentence; said before it is done."""
    version_state: VersionState | None = None


@dataclass(frozen=True)
class Done:
    """What became of an operation."""

    operation: Operation
    rev: int
    served: bool
    """Whether all servers report the new revision."""
    seconds: float
    """From the beginning of the commit until all servers reported it, or until waiting was given up; what follows the
    traffic, such as MLflow's aliases, is not in it."""
    sentences: tuple[str, ...]


def pause(env: EnvironmentConfig, model: str, actor: Actor, reason: str) -> Operation:
    """Plan to stop a rollout where it is: its traffic stays, nothing raises it until somebody resumes.

    Raises:
        ConflictError: nothing is on its way, or it is paused already.
    """
    slot, version = _rollout(env, model)
    if slot.paused:
        raise ConflictError(f"{_where(slot)} is paused already; `towpath resume {model} --env {slot.env}` goes on")
    changes = f"the rollout of version {version} stays as it is ({_share(slot)}) until somebody resumes it"
    return _operation(slot, version, "paused", replace(slot.placement, paused=True), actor, reason, changes)


def resume(env: EnvironmentConfig, model: str, actor: Actor, reason: str) -> Operation:
    """Plan to let a paused rollout go on; its step begins anew, with fresh evidence.

    Raises:
        ConflictError: nothing is paused.
    """
    slot, version = _rollout(env, model)
    if not slot.paused:
        raise ConflictError(f"{_where(slot)} is not paused; `towpath explain-release {model}` says what it waits for")
    changes = f"the rollout of version {version} goes on with {_share(slot)}, its step begins anew"
    return _operation(slot, version, "resumed", replace(slot.placement, paused=False), actor, reason, changes)


def abort(env: EnvironmentConfig, model: str, actor: Actor, reason: str) -> Operation:
    """Plan to end a rollout: all traffic to the stable version.

    Raises:
        ConflictError: nothing is on its way.
    """
    slot, version = _rollout(env, model)
    stands = f"version {slot.stable} answers everything" if slot.stable is not None else "nothing is served"
    changes = f"the rollout of version {version} ends ({_share(slot)}); {stands}"
    return _operation(slot, version, "rolled_back", without_rollout(slot), actor, reason, changes)


def roll_back(env: EnvironmentConfig, model: str, to: int | None, actor: Actor, reason: str) -> Operation:
    """Plan to put an earlier stable version back; what is on its way ends with it.

    Raises:
        ConflictError: there is no earlier version, or it is stable already.
        BadInputError: the version that is asked for was never stable in this environment.
        GateRefusedError: it was rejected or quarantined since.
        DigestMismatchError: its bytes were changed.
        UnknownNameError: the version was never recorded.
    """
    slot = env.ledger().slot(model, env.name)
    number = _earlier(env, slot, to)
    version = env.ledger().version(model, number)
    if version.state is not VersionState.REGISTERED:
        raise GateRefusedError(f"version {number} of {model} is {version.state}; it may not be released")
    env.place(version.ref)
    after = Placement(stable=number, previous=slot.stable if slot.stable != number else None)
    going = on_its_way(slot)
    ends = f", and the rollout of version {going} ends" if going is not None else ""
    changes = f"version {number} answers everything instead of version {slot.stable}{ends}"
    return _operation(slot, number, ROLLBACK, after, actor, reason, changes)


def reject(
    env: EnvironmentConfig, model: str, number: int, actor: Actor, reason: str, *, quarantine: bool
) -> Operation:
    """Plan to reject a version everywhere this ledger reaches; it may never be released again.

    Raises:
        UnknownNameError: the version was never recorded.
        ConflictError: it is stable somewhere, or it was rejected already.
    """
    ledger = env.ledger()
    version = ledger.version(model, number)
    state = VersionState.QUARANTINED if quarantine else VersionState.REJECTED
    if version.state is not VersionState.REGISTERED:
        raise ConflictError(f"version {number} of {model} is {version.state} already")
    for slot in ledger.slots():
        _require_no_traffic(slot, version, here=slot.env is env.name)
    slot = ledger.slot(model, env.name)
    after = without_rollout(slot) if on_its_way(slot) == number else slot.placement
    if after.previous == number:
        after = replace(after, previous=None)
    changes = f"version {number} becomes {state} and can never be released again; {_where(slot)} goes on without it"
    planned = _operation(slot, number, state.value, after, actor, reason, changes)
    return replace(planned, version_state=state)


def carry_out(env: EnvironmentConfig, operation: Operation, wait_s: float) -> Done:
    """Commit an operation, let everything follow, and wait until all servers report it.

    Raises:
        StaleRevisionError: the slot moved on since the operation was planned; nothing was changed.
        InfrastructureError: the ledger cannot be reached; nothing was changed, and the gateways serve on.
    """
    begun = time.monotonic()
    plan = _plan(env, operation)
    _prepare(env, operation, plan)
    move = Move(
        version=operation.version,
        target=operation.target,
        to=operation.after,
        actor=operation.actor,
        reason=operation.reason,
        plan_digest=plan.digest,
        version_state=operation.version_state,
    )
    after = commit(env, operation.before, move)
    applied = apply_traffic(env, operation.model)
    served, why = _wait_until_served(env, after, wait_s)
    seconds = time.monotonic() - begun
    applied += apply_rest(env, operation.model)  # MLflow and publishers: nobody's traffic waits for them
    return Done(operation, after.rev, served, seconds, (*problems(applied), *why))


def _plan(env: EnvironmentConfig, operation: Operation) -> ReleasePlan:
    """Return the plan of what is moved; a damaged one must not keep anybody from going back."""
    try:
        return stored_plan(env, operation.before, operation.version)[1]
    except FaultError:
        if operation.after.versions - operation.before.versions or operation.target == "resumed":
            raise
        return env.plan()


def _prepare(env: EnvironmentConfig, operation: Operation, plan: ReleasePlan) -> None:
    """Have a version that is not loaded yet loaded and warm before it is committed."""
    target = env.target(operation.model, plan)
    loaded = served_split(target).versions or operation.before.versions  # a target that is down is told later
    for role in ROLES:
        number = getattr(operation.after, role.value)
        if number is not None and number not in loaded:
            target.deploy(role, env.ledger().version(operation.model, number).ref)


def _operation(
    slot: Slot, version: int, target: str, after: Placement, actor: Actor, reason: str, changes: str
) -> Operation:
    return Operation(slot.model, slot.env.value, version, target, slot, after, actor.name, reason, changes)


def _rollout(env: EnvironmentConfig, model: str) -> tuple[Slot, int]:
    slot = env.ledger().slot(model, env.name)
    number = on_its_way(slot)
    if number is None:
        _require_known(env, model)
        raise ConflictError(f"nothing of {model} is on its way in {slot.env}; `towpath promote` begins a rollout")
    return slot, number


def _require_known(env: EnvironmentConfig, model: str) -> None:
    if not env.ledger().versions(model):
        raise UnknownNameError(f"the ledger knows no version of {model}; `towpath run {model}` registers one")


def _earlier(env: EnvironmentConfig, slot: Slot, to: int | None) -> int:
    if to is None:
        if slot.previous is None:
            _require_known(env, slot.model)
            raise ConflictError(f"no version stood before {slot.stable} in {slot.env}; name one with --to")
        events = env.ledger().events(slot.model, slot.env)
        if stable_since(slot, events) is None and any(event.target == ROLLBACK for event in events):
            raise ConflictError(
                f"version {slot.stable} came back by a rollback from {slot.previous}; name the version that you mean "
                f"with --to ({slot.previous} would undo the rollback)"
            )
        return slot.previous
    env.ledger().version(slot.model, to)
    if to == slot.stable:
        raise ConflictError(f"version {to} of {slot.model} is stable in {slot.env} already")
    stood = _once_stable(env.ledger().events(slot.model, slot.env))
    if to not in stood:
        known = ", ".join(map(str, sorted(stood - {slot.stable}))) or "none"
        raise BadInputError(
            f"version {to} of {slot.model} was never stable in {slot.env}, so there is nothing to go back to; "
            f"once stable were: {known}. `towpath promote` is the way for others"
        )
    return to


def _once_stable(events: tuple[Event, ...]) -> set[int]:
    import json

    placements = [load(Placement, json.loads(event.to_slot)) for event in events]
    return {placement.stable for placement in placements if placement.stable is not None}


def _require_no_traffic(slot: Slot, version: RecordedVersion, *, here: bool) -> None:
    if slot.model != version.model:
        return
    if slot.stable == version.version:
        raise ConflictError(
            f"version {version.version} of {slot.model} is stable in {slot.env}; roll back or promote another first"
        )
    if not here and on_its_way(slot) == version.version:
        raise ConflictError(
            f"version {version.version} of {slot.model} is on its way in {slot.env}; abort it there first"
        )


def _wait_until_served(env: EnvironmentConfig, slot: Slot, wait_s: float) -> tuple[bool, tuple[str, ...]]:
    target, deadline, problem = env.target(slot.model), time.monotonic() + wait_s, ""
    while True:
        try:
            found = target.traffic()
            if is_served(found, slot):
                return True, ()
            problem = f"the servers report revision {found.rev} and something else than revision {slot.rev} says"
        except TowpathError as error:
            problem = str(error)
        if time.monotonic() >= deadline:
            return False, (f"committed, but not confirmed after {wait_s:g} s: {problem}; the next tick goes on",)
        time.sleep(_POLL_S)


def _where(slot: Slot) -> str:
    return f"{slot.model} in {slot.env}"


def _share(slot: Slot) -> str:
    if slot.canary is not None:
        return f"canary at {slot.weight} % of the users"
    return "shadow, no user sees it" if slot.shadow is not None else "candidate, no traffic"
