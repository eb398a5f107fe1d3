"""The hash chain over a slot's events: pure functions, no database.

Hashes are over the texts as they are stored; placements are compared as records, because an older Towpath wrote them
with fewer fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from itertools import pairwise

from components.errors import FaultError
from components.release.records import (
    NO_HASH,
    Event,
    Head,
    Placement,
    Slot,
    Verification,
    VersionState,
    operation_id,
)
from components.stage.files import text_digest
from components.types.record import canonical_json, load

EMPTY_PLACEMENT = canonical_json(Placement())


def event_hash(event: Event) -> str:
    """Return SHA-256 over the previous hash and the canonical JSON of every other field."""
    content = {key: value for key, value in asdict(event).items() if key not in {"prev_hash", "hash"}}
    return text_digest(event.prev_hash + canonical_json(content))


def sealed(event: Event) -> Event:
    """Return the event with its hash."""
    return replace(event, hash=event_hash(event))


def placement_of(text: str) -> Placement:
    """Return the placement that an event names.

    Raises:
        FaultError: it is none: the event was edited.
    """
    try:
        return load(Placement, json.loads(text))
    except ValueError as error:
        raise FaultError(
            f"an event names a placement that cannot be read ({text[:80]!r}); verify the ledger"
        ) from error


def graver(one: VersionState, other: VersionState) -> VersionState:
    """Return the state that two events in different environments leave a version in: nothing makes it better again."""
    order = list(VersionState)
    return max(one, other, key=order.index)


def version_state(version: int, events: Iterable[Event]) -> VersionState:
    """Return the state that events, of all environments and in any order, leave a version in."""
    state = VersionState.REGISTERED
    for event in events:
        if event.version == version and event.target in set(VersionState):
            state = graver(state, VersionState(event.target))
    return state


def replay(slot: Slot, events: Sequence[Event]) -> Slot:
    """Return the slot that the events lead to.

    Args:
        slot: Names the model and the environment; what stands in it is not used.
        events: All events of that slot in order of revision.

    Raises:
        FaultError: an event does not start from where the one before it ended.
    """
    current, rev = Placement(), 0
    for event in events:
        if placement_of(event.from_slot) != current or event.rev != rev + 1:
            raise FaultError(f"event {event.rev} of {event.model} in {event.env} does not follow revision {rev}")
        current, rev = placement_of(event.to_slot), event.rev
    return slot.at(rev, current)


def verify(slot: Slot, events: Sequence[Event], anchor: Head | None = None) -> Verification:
    """Check a chain against itself, against the slot, and against a head that was kept elsewhere.

    Args:
        slot: What the slot's row says.
        events: All events of that slot in order of revision.
        anchor: A head exported earlier. Without one, cutting off the newest events is found only by the slot's row.
    """
    findings = [finding for event in events for finding in _of_itself(event)]
    first = [] if not events else [(None, events[0])]
    for before, after in [*first, *pairwise(events)]:
        findings += _of_link(before, after)
    findings += _of_slot(slot, events)
    if anchor is not None:
        findings += _of_anchor(anchor, events)
    last_hash = events[-1].hash if events else NO_HASH
    return Verification(Head(slot.model, slot.env, len(events) and events[-1].rev, last_hash), tuple(findings))


def _of_itself(event: Event) -> list[str]:
    findings = []
    if event_hash(event) != event.hash:
        findings.append(f"event {event.rev} was edited: its content does not have the hash that is stored")
    if operation_id(event.model, event.env, event.rev - 1, event.version, event.target) != event.op_id:
        findings.append(f"event {event.rev} has an operation id that is not its own")
    return findings


def _of_link(before: Event | None, after: Event) -> list[str]:
    rev, last_hash, left = (before.rev, before.hash, before.to_slot) if before else (0, NO_HASH, EMPTY_PLACEMENT)
    findings = []
    if after.rev != rev + 1:
        findings.append(f"events {rev + 1} to {after.rev - 1} are missing")
    if after.prev_hash != last_hash:
        findings.append(f"event {after.rev} does not follow the event stored before it")
    if _read(after.from_slot) != _read(left):
        findings.append(f"event {after.rev} does not start from what event {rev} left")
    return findings


def _of_slot(slot: Slot, events: Sequence[Event]) -> list[str]:
    rev, left = (events[-1].rev, events[-1].to_slot) if events else (0, EMPTY_PLACEMENT)
    if slot.rev != rev:
        return [f"the slot stands at revision {slot.rev}, its newest event is {rev}"]
    if slot.placement != _read(left):
        return [f"the slot was edited: it is not what event {rev} left"]
    return []


def _read(text: str) -> Placement | None:
    try:
        return placement_of(text)
    except FaultError:  # its hash is wrong too, which is a finding of its own
        return None


def _of_anchor(anchor: Head, events: Sequence[Event]) -> list[str]:
    if anchor.rev == 0:
        return []
    by_rev = {event.rev: event for event in events}
    if anchor.rev not in by_rev:
        return [
            f"event {anchor.rev}, which an exported head names, is missing: the newest events were cut off, "
            "or an older ledger was restored"
        ]
    if by_rev[anchor.rev].hash != anchor.hash:
        return [f"event {anchor.rev} is not the one that an exported head names"]
    return []
