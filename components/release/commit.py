"""One transition inside an open write transaction: swap, guard, append. Opens no connection and judges no model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime

from sqlalchemy import update
from sqlalchemy.engine import Connection

from components.errors import ConflictError, FaultError, GateRefusedError, StaleRevisionError
from components.release import chain, rows, tables
from components.release.database import insert_missing
from components.release.records import NO_HASH, Event, Placement, RecordedVersion, Slot, Transition, VersionState
from components.types.record import canonical_json

_EXPOSED = ("stable", "canary", "shadow", "candidate")
"""The roles that a rejected or quarantined version may not take; as `previous` it gets no traffic."""


def commit(connection: Connection, transition: Transition) -> tuple[Slot, bool]:
    """Make a transition, and return the slot and whether it was made now and not before.

    Raises:
        StaleRevisionError: the slot moved on since it was read.
        ConflictError: the same operation was made with other digests.
        UnknownNameError: a version that was never recorded is named.
        GateRefusedError: evidence is missing or of another artifact, or a version may not be released.
        FaultError: the slot is not what its newest event left: the ledger was edited.
    """
    before = _swap(connection, transition)
    if before is None:
        return _answer_of_before(connection, transition), False
    versions = rows.held_versions(
        connection,
        transition.model,
        {transition.version, *transition.to.versions},
        to_change=transition.version_state is not None,
    )
    _guard(transition, before, versions)
    event = _append(connection, transition, before)
    if transition.version_state is not None:
        _change_state(connection, versions[transition.version], transition.version_state)
    return before.at(event.rev, transition.to), True


def _swap(connection: Connection, transition: Transition) -> Slot | None:
    """Move the slot on if it is still where the proposal found it; return it as it was, or None where it was not."""
    table = tables.slot
    key = {"model": transition.model, "env": transition.env.value}
    if transition.expected_rev == 0:
        insert_missing(connection, table, **key, rev=0, **asdict(Placement()))
    before = rows.slot_of(connection, transition.model, transition.env, held=True)
    result = connection.execute(
        update(table)
        .where(table.c.model == key["model"], table.c.env == key["env"], table.c.rev == transition.expected_rev)
        .values(rev=transition.expected_rev + 1, **asdict(transition.to))
    )
    return before if result.rowcount == 1 else None


def _answer_of_before(connection: Connection, transition: Transition) -> Slot:
    """Return what this very operation led to, if it was made already."""
    made = rows.event_named(connection, transition.op_id)
    if made is None:
        there = rows.slot_of(connection, transition.model, transition.env)
        raise StaleRevisionError(
            f"{transition.model} in {transition.env} is at revision {there.rev}, the proposal rests on "
            f"{transition.expected_rev}: somebody else was faster and nothing was changed; look again and decide anew"
        )
    placement = chain.placement_of(made.to_slot)
    if (placement, made.artifact_digest) != (transition.to, transition.digests.artifact):
        raise ConflictError(
            f"version {transition.version} of {transition.model} was moved to {transition.target} from revision "
            f"{transition.expected_rev} already, with other bytes or another placement; nothing was changed"
        )
    return Slot(model=made.model, env=made.env, rev=made.rev, **asdict(placement))


def _guard(transition: Transition, before: Slot, versions: Mapping[int, RecordedVersion]) -> None:
    for name, digest in asdict(transition.digests).items():
        if not digest:
            raise GateRefusedError(f"evidence is missing: the {name} digest of this transition is empty")
    moved = versions[transition.version]
    if moved.digest != transition.digests.artifact:
        raise GateRefusedError(
            f"version {moved.version} of {moved.model} is product {moved.digest[:12]}, the evidence is of "
            f"{transition.digests.artifact[:12]}; gather the evidence on the version that is to be moved"
        )
    if moved.dataset_digest != transition.digests.data:
        raise GateRefusedError(
            f"version {moved.version} of {moved.model} was trained on data {moved.dataset_digest[:12]}, the evidence "
            f"names {transition.digests.data[:12]}; gather the evidence on the version that is to be moved"
        )
    _guard_state(transition)
    for number in _entering(before, transition.to):
        version = versions[number]
        if version.state is not VersionState.REGISTERED:
            raise GateRefusedError(f"version {number} of {version.model} is {version.state}; it may not be released")


def _guard_state(transition: Transition) -> None:
    """Refuse a change of a version's state that its event would not explain."""
    state, number = transition.version_state, transition.version
    explained = transition.target if transition.target in rows.STATES else None
    if explained != (state and state.value):
        raise GateRefusedError(
            f"a move of version {number} of {transition.model} to {transition.target} and the version state "
            f"{state or 'unchanged'} do not fit; a version becomes rejected or quarantined by a move to exactly that"
        )
    if state is not None and number in {getattr(transition.to, role) for role in _EXPOSED}:
        raise GateRefusedError(
            f"version {number} of {transition.model} cannot become {state} and stay in {transition.env}; "
            "propose a placement without it"
        )


def _entering(before: Placement, to: Placement) -> Iterable[int]:
    """Return the versions that take a role they did not have, or get more traffic."""
    for role in _EXPOSED:
        number: int | None = getattr(to, role)
        grows = role == "canary" and to.weight > before.weight
        if number is not None and (number != getattr(before, role) or grows):
            yield number


def _append(connection: Connection, transition: Transition, before: Slot) -> Event:
    last = rows.newest_event(connection, transition.model, transition.env)
    left = (last.rev, chain.placement_of(last.to_slot)) if last else (0, Placement())
    if left != (before.rev, before.placement):
        raise FaultError(
            f"the slot of {transition.model} in {transition.env} is not what its newest event left, so nothing was "
            "changed: verify the ledger, and restore it from a backup"
        )
    event = chain.sealed(
        Event(
            op_id=transition.op_id,
            model=transition.model,
            env=transition.env,
            rev=transition.expected_rev + 1,
            version=transition.version,
            target=transition.target,
            from_slot=last.to_slot if last else chain.EMPTY_PLACEMENT,
            to_slot=canonical_json(transition.to),
            **{f"{name}_digest": digest for name, digest in asdict(transition.digests).items()},
            actor=transition.actor,
            reason=transition.reason,
            time=datetime.now(UTC).isoformat(timespec="microseconds"),
            prev_hash=last.hash if last else NO_HASH,
            hash="",
        )
    )
    connection.execute(tables.event.insert().values(**asdict(event)))
    return event


def _change_state(connection: Connection, version: RecordedVersion, state: VersionState) -> None:
    table = tables.version
    connection.execute(
        update(table)
        .where(table.c.model == version.model, table.c.version == version.version)
        .values(state=chain.graver(version.state, state).value)
    )
