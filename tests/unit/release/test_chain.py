"""The chain of events by itself: read as records, hashed as texts."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations

import pytest

from components.errors import FaultError
from components.release import chain
from components.release.records import NO_HASH, Event, Head, Placement, Slot, VersionState, operation_id
from components.types.record import canonical_json
from components.types.release import Environment

LOCAL, STAGING = Environment.LOCAL, Environment.STAGING
EMPTY = Slot(model="taxi", env=LOCAL, rev=0)


def event(rev: int, before: Placement, after: Placement, *, prev_hash: str = NO_HASH, target: str = "stable") -> Event:
    return chain.sealed(
        Event(
            op_id=operation_id("taxi", LOCAL, rev - 1, 1, target),
            model="taxi",
            env=LOCAL,
            rev=rev,
            version=1,
            target=target,
            from_slot=canonical_json(before),
            to_slot=canonical_json(after),
            artifact_digest="1" * 64,
            data_digest="d" * 64,
            code_digest="0c0ffee",
            lock_digest="1" * 64,
            gate_config_digest="2" * 64,
            evidence_digest="3" * 64,
            actor="ada",
            reason="the gates passed",
            time="2026-01-05T12:00:00.000000+00:00",
            prev_hash=prev_hash,
            hash="",
        )
    )


def chained() -> tuple[Event, Event]:
    one, two = Placement(stable=1), Placement(stable=2, previous=1)
    first = event(1, Placement(), one)
    return first, event(2, one, two, prev_hash=first.hash)


def without_candidate(text: str) -> str:
    """Return a placement as a Towpath wrote it that knew no candidate."""
    return canonical_json({key: value for key, value in json.loads(text).items() if key != "candidate"})


def test_events_of_an_older_towpath_are_followed_by_those_of_a_newer_one() -> None:
    first, second = chained()
    old = chain.sealed(
        replace(first, from_slot=without_candidate(first.from_slot), to_slot=without_candidate(first.to_slot))
    )
    new = chain.sealed(replace(second, prev_hash=old.hash))
    assert old.hash != first.hash, "a hash is of the text as it was stored"
    slot = chain.replay(EMPTY, [old, new])
    assert slot == Slot(model="taxi", env=LOCAL, rev=2, stable=2, previous=1)
    assert chain.verify(slot, [old, new]).findings == ()


def test_a_text_that_means_the_same_but_is_another_is_an_edit() -> None:
    first, second = chained()
    edited = replace(first, to_slot=without_candidate(first.to_slot))
    (finding,) = chain.verify(chain.replay(EMPTY, [first, second]), [edited, second]).findings
    assert finding == "event 1 was edited: its content does not have the hash that is stored"


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"stable": "1"}', '{"stable": 1, "unknown": 2}'])
def test_a_placement_that_cannot_be_read_stops_a_replay_and_is_a_finding(text: str) -> None:
    first, second = chained()
    broken = chain.sealed(replace(first, to_slot=text))
    with pytest.raises(FaultError, match="cannot be read"):
        chain.replay(EMPTY, [broken])
    second = chain.sealed(replace(second, prev_hash=broken.hash))
    slot = Slot(model="taxi", env=LOCAL, rev=2, stable=2, previous=1)
    assert chain.verify(slot, [broken, second]).findings == ("event 2 does not start from what event 1 left",)


def test_what_does_not_follow_is_not_replayed() -> None:
    first, second = chained()
    for events in ([second], [second, first], [first, first]):
        with pytest.raises(FaultError, match="does not follow revision"):
            chain.replay(EMPTY, events)


def test_an_empty_chain_has_a_head_at_nothing_and_no_finding() -> None:
    assert chain.verify(EMPTY, []).head == Head("taxi", LOCAL, 0, NO_HASH)
    assert chain.verify(EMPTY, [], Head("taxi", LOCAL, 0, NO_HASH)).intact


def test_a_version_ends_up_the_same_in_whatever_order_environments_spoke() -> None:
    rejected = event(1, Placement(), Placement(), target="rejected")
    quarantined = replace(event(1, Placement(), Placement(), target="quarantined"), env=STAGING)
    released = event(2, Placement(), Placement(stable=1))
    for events in permutations([rejected, quarantined, released]):
        assert chain.version_state(1, events) is VersionState.QUARANTINED
        assert chain.version_state(2, events) is VersionState.REGISTERED
    assert chain.version_state(1, [released, rejected]) is VersionState.REJECTED


def test_no_event_makes_a_version_better_again() -> None:
    for one in VersionState:
        assert chain.graver(one, VersionState.REGISTERED) is one
        assert chain.graver(VersionState.QUARANTINED, one) is VersionState.QUARANTINED
