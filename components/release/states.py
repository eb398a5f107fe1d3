"""A version's way through an environment: where it stands, what comes next, what may enter. Knows no evidence."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from components.errors import BadInputError, ConflictError, GateRefusedError, UnknownNameError
from components.release.plan import ReleasePlan
from components.release.records import Event, Placement, RecordedVersion, Slot, VersionState
from components.release.rollout import ROLLBACK, ROLLED_BACK, Action, Advance, Hold, Pause, RollBack
from components.types.evaluation import Verdict
from components.types.record import load
from components.types.release import Environment

STABLE, SHADOW, CANDIDATE = "stable", "shadow", "candidate"
"""Targets of events; a canary's is ``canary:<weight>``."""


class Standing(StrEnum):
    """The states of a version in one environment."""

    REGISTERED = "registered"
    CANDIDATE = "candidate"
    SHADOW = "shadow"
    CANARY = "canary"
    STABLE = "stable"
    ROLLED_BACK = "rolled_back"
    SUPERSEDED = "superseded"
    REJECTED = "rejected"
    QUARANTINED = "quarantined"


@dataclass(frozen=True)
class State:
    """Where a version stands; as text ``canary`` or ``paused(canary)``."""

    standing: Standing
    weight: int = 0
    """The canary's share of the users in percent."""
    paused: bool = False

    def __str__(self) -> str:
        return f"paused({self.standing})" if self.paused else self.standing.value


@dataclass(frozen=True)
class NextStep:
    """Where a version on its way goes next, if its guards let it."""

    target: str
    to: Placement
    said: tuple[str, ...]
    """What the plan leaves out, said aloud; one sentence each, never empty."""
    compared: bool
    """Whether the step rests on a comparison with the stable version, and so on a fresh report."""


def on_its_way(slot: Placement) -> int | None:
    """Return the version that is neither stable nor gone, if there is one."""
    return next((each for each in (slot.candidate, slot.shadow, slot.canary) if each is not None), None)


def without_rollout(slot: Placement) -> Placement:
    """Return a placement in which nothing is on its way."""
    return Placement(stable=slot.stable, previous=slot.previous)


def with_previous_back(slot: Placement) -> Placement:
    """Return a placement in which the previous version is stable again, and nothing is on its way."""
    return Placement(stable=slot.previous)


def paused(slot: Slot) -> Placement:
    """Return the same placement, paused: the traffic stays where it is."""
    return replace(slot.placement, paused=True)


def next_step(plan: ReleasePlan, slot: Placement) -> NextStep | None:
    """Return the one step that may follow; None where nothing is on its way, or where the plan has no such step."""
    version = on_its_way(slot)
    if version is None:
        return None
    stable = Placement(stable=version, previous=slot.stable)
    if slot.candidate is not None and slot.stable is None:
        said = "nothing is stable here yet and there is nothing to compare with, so that it goes straight to stable"
        return NextStep(STABLE, stable, (said,), compared=False)
    if slot.candidate is not None and plan.shadow is not None:
        return NextStep(SHADOW, replace(without_rollout(slot), shadow=version), ("no user sees a shadow",), True)
    weights = [step.weight for step in plan.canary]
    if (slot.shadow is not None and plan.shadow is None) or (slot.canary is not None and slot.weight not in weights):
        return None
    said_aloud = [] if plan.shadow else ["the plan has no shadow: users are the first to meet the version"]
    weight = next((each for each in weights if slot.canary is None or each > slot.weight), None)
    if weight is not None:
        said_aloud.append(f"the plan's canary weights are {', '.join(map(str, weights))} %")
        to = replace(without_rollout(slot), canary=version, weight=weight)
        return NextStep(f"canary:{weight}", to, tuple(said_aloud), compared=True)
    last = f"{weights[-1]} % is the plan's last canary weight" if weights else _NO_CANARY
    compared = bool(weights) or slot.shadow is not None
    return NextStep(STABLE, stable, (*said_aloud, last), compared)


def state_of(version: RecordedVersion, slot: Slot, events: Iterable[Event]) -> State:
    """Return where a version stands in a slot's environment.

    Args:
        version: The version.
        slot: The environment's slot.
        events: All of the slot's events; of a version that is gone they say how it went.
    """
    if version.state is not VersionState.REGISTERED:
        return State(Standing(version.state.value))
    number = version.version
    if number == slot.canary:
        return State(Standing.CANARY, slot.weight, slot.paused)
    if number == slot.shadow:
        return State(Standing.SHADOW, paused=slot.paused)
    if number == slot.candidate:
        return State(Standing.CANDIDATE, paused=slot.paused)
    if number == slot.stable:
        return State(Standing.STABLE)
    return State(_gone(number, events))


def stable_since(slot: Slot, events: Iterable[Event]) -> datetime | None:
    """Return when the slot's stable version was promoted.

    None where nothing is stable, no event tells, or it came back by a rollback: whoever undid a release must not have
    it put back by itself.
    """
    for event in sorted(events, key=lambda each: each.rev, reverse=True):
        before, after = _placements(event)
        if before.stable != after.stable:
            promoted = event.target == STABLE and after.stable is not None and after.stable == slot.stable
            return datetime.fromisoformat(event.time) if promoted else None
    return None


def was_taken_back(number: int, events: Iterable[Event]) -> bool:
    """Return whether a version left a slot by a rollback or an end of its rollout, and has not come in again since.

    One that gave way to another one was not: it may come again.

    Args:
        number: The version.
        events: All of the slot's events.
    """
    for event in sorted(events, key=lambda each: each.rev, reverse=True):
        before, after = _placements(event)
        if number in {after.stable, *_going(after)}:
            return False
        if number in {before.stable, *_going(before)}:
            return event.target in (ROLLBACK, ROLLED_BACK)
    return False


def may_enter(
    version: RecordedVersion | None, target_env: Environment, slot: Slot, source_state: State | Standing | None
) -> None:
    """Check that a version may be proposed for an environment; looks at no evidence.

    Args:
        version: The version; None where nobody registered it.
        target_env: Where it is to go.
        slot: The target's slot.
        source_state: Where it stands in the environment before; None where that one has never heard of it.

    Raises:
        UnknownNameError: it is not registered.
        BadInputError: it skips an environment, or the target has no rollout.
        GateRefusedError: it is rejected or quarantined, or was rolled back in the environment before.
        ConflictError: it is stable there already, or a rollout is going on.
    """
    if version is None:
        raise UnknownNameError(
            f"that version of {slot.model} is not registered; `towpath run {slot.model}` registers one"
        )
    name = f"version {version.version} of {slot.model}"
    if version.state is not VersionState.REGISTERED:
        raise GateRefusedError(f"{name} is {version.state} and may not be released; train and register another one")
    before = _BEFORE.get(target_env)
    if before is None:
        raise BadInputError(
            f"{name} cannot be promoted to {target_env}: what passes its gates there is stable at once; "
            "name staging or production"
        )
    if slot.stable == version.version:
        raise ConflictError(f"{name} is stable in {target_env} already; there is nothing to promote")
    if (there := on_its_way(slot)) is not None:
        which = "itself" if there == version.version else f"version {there}"
        raise ConflictError(
            f"{name} cannot enter {target_env}: {which} is on its way there at revision {slot.rev}; "
            "wait for it, or abort it first"
        )
    _require_passed(name, source_state, before, target_env)


def describe(plan: ReleasePlan, slot: Slot, action: Action) -> str:
    """Return what comes next and what is missing for it, in one sentence."""
    match action:
        case Advance():
            return f"version {on_its_way(slot)} goes to {action.target} now: all {len(action.verdicts)} gates pass"
        case Pause():
            return f"version {on_its_way(slot)} is paused now: {action.reason}"
        case RollBack():
            going = on_its_way(slot)
            if going is None or action.target != ROLLBACK:
                return f"version {slot.stable if going is None else going} is rolled back now: {action.reason}"
            return f"version {slot.stable} is rolled back now, and the rollout of version {going} ends: {action.reason}"
        case Hold():
            return _waiting(plan, slot, action)


_NO_CANARY = "the plan has no canary: all users meet the version at once"
_BEFORE = {Environment.STAGING: Environment.LOCAL, Environment.PRODUCTION: Environment.STAGING}
_MADE_IT = frozenset({Standing.STABLE, Standing.SUPERSEDED})


def _require_passed(name: str, source: State | Standing | None, before: Environment, target_env: Environment) -> None:
    standing = source.standing if isinstance(source, State) else source
    if standing in _MADE_IT:
        return
    if standing in (Standing.ROLLED_BACK, Standing.REJECTED, Standing.QUARANTINED):
        raise GateRefusedError(f"{name} is {standing} in {before} and may not go to {target_env}; release another one")
    if standing in (None, Standing.REGISTERED):
        raise BadInputError(
            f"{name} was never stable in {before} and no environment may be skipped; promote it to {before} first"
        )
    raise BadInputError(f"{name} is still {standing} in {before}; promote it to {target_env} when it is stable there")


def _gone(number: int, events: Iterable[Event]) -> Standing:
    """Return how a version last ceased to be stable or on its way; whether it is kept as the previous one is no matter.

    Only a promotion of another one supersedes it. What a rollback took away stays rolled back, however often others
    are promoted after it.
    """
    for event in sorted(events, key=lambda each: each.rev, reverse=True):
        before, after = _placements(event)
        if number in {after.stable, *_going(after)}:
            continue
        if number == before.stable:
            return Standing.SUPERSEDED if event.target == STABLE else Standing.ROLLED_BACK
        if number in _going(before):
            return Standing.ROLLED_BACK
    return Standing.REGISTERED


def _going(slot: Placement) -> set[int | None]:
    return {slot.candidate, slot.shadow, slot.canary}


def _placements(event: Event) -> tuple[Placement, Placement]:
    return load(Placement, json.loads(event.from_slot)), load(Placement, json.loads(event.to_slot))


def reasons(verdicts: Iterable[Verdict]) -> str:
    """Return what gates said, in one sentence: two of them may say the same, which stands there once."""
    return "; ".join(dict.fromkeys(said for each in verdicts for said in each.reasons))


def _waiting(plan: ReleasePlan, slot: Slot, hold: Hold) -> str:
    missing, told = reasons(each for each in hold.verdicts if not each.passed), reasons(hold.verdicts)
    version = on_its_way(slot)
    if version is None:
        return missing or told or f"nothing of {slot.model} stands in {slot.env} yet"
    if slot.paused:
        return f"version {version} is paused and waits for a person to resume or abort it: {missing or told}"
    step = next_step(plan, slot)
    way = f"version {version} goes to {step.target} next" if step else f"version {version} cannot go on"
    return f"{way}; missing: {missing or 'nothing'}"
