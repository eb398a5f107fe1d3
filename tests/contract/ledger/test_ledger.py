"""What a ledger promises, in every database that can hold one."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import sqlalchemy

from components.errors import ConflictError, FaultError, GateRefusedError, StaleRevisionError, UnknownNameError
from components.release import chain
from components.release.ledger import Ledger
from components.release.local import make_challenger_locally, make_stable_locally
from components.release.peek import peek
from components.release.records import NO_HASH, Digests, Export, Head, Placement, RecordedVersion, Slot, Transition
from components.types.record import canonical_json, load
from components.types.release import Environment

LOCAL = Environment.LOCAL
MODEL = "taxi"


def product(number: int) -> str:
    return f"{number:064x}"


def recorded(number: int) -> RecordedVersion:
    return RecordedVersion(MODEL, number, product(number), "d" * 64, "onnx", "ada")


def evidence(number: int) -> Digests:
    return Digests(product(number), "d" * 64, "0c0ffee", "1" * 64, "2" * 64, "3" * 64)


def to_stable(number: int, seen: Slot, **changes: object) -> Transition:
    proposal = Transition(
        model=MODEL,
        env=LOCAL,
        expected_rev=seen.rev,
        version=number,
        target="stable",
        to=Placement(stable=number, previous=seen.stable),
        digests=evidence(number),
        actor="ada",
        reason="the gates passed",
    )
    return replace(proposal, **changes)


@pytest.fixture
def ledger(ledger_url: str) -> Ledger:
    ledger = Ledger(ledger_url, lock_wait_s=5)
    for number in (1, 2, 3):
        ledger.record_version(recorded(number))
    return ledger


def test_a_fresh_ledger_has_empty_slots(ledger_url: str) -> None:
    assert Ledger(ledger_url).slot(MODEL, LOCAL) == Slot(model=MODEL, env=LOCAL, rev=0)


def test_what_was_stable_becomes_the_previous(ledger: Ledger) -> None:
    first = ledger.commit(to_stable(1, ledger.slot(MODEL, LOCAL)))
    second = ledger.commit(to_stable(2, first))
    assert second == ledger.slot(MODEL, LOCAL) == Slot(model=MODEL, env=LOCAL, rev=2, stable=2, previous=1)


def test_a_stale_proposal_changes_nothing(ledger: Ledger) -> None:
    seen = ledger.slot(MODEL, LOCAL)
    after = ledger.commit(to_stable(1, seen))
    with pytest.raises(StaleRevisionError, match="at revision 1, the proposal rests on 0"):
        ledger.commit(to_stable(2, seen))
    assert ledger.slot(MODEL, LOCAL) == after
    assert len(ledger.events(MODEL, LOCAL)) == 1


def test_a_proposal_from_the_future_leaves_no_slot_behind(ledger: Ledger) -> None:
    with pytest.raises(StaleRevisionError):
        ledger.commit(to_stable(1, Slot(model=MODEL, env=LOCAL, rev=7)))
    assert ledger.slots() == ()


def test_the_same_proposal_twice_gives_the_same_answer_even_after_others(ledger: Ledger) -> None:
    proposal = to_stable(1, ledger.slot(MODEL, LOCAL))
    first = ledger.commit(proposal)
    ledger.commit(to_stable(2, first))
    assert ledger.commit(replace(proposal, actor="grace")) == first
    assert [event.actor for event in ledger.events(MODEL, LOCAL)] == ["ada", "ada"]


def test_one_operation_cannot_mean_two_things(ledger: Ledger) -> None:
    proposal = to_stable(1, ledger.slot(MODEL, LOCAL))
    ledger.commit(proposal)
    with pytest.raises(ConflictError, match="another placement"):
        ledger.commit(replace(proposal, to=Placement(stable=1, previous=3)))


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"digests": evidence(2)}, GateRefusedError, "gather the evidence"),
        ({"digests": replace(evidence(1), data="e" * 64)}, GateRefusedError, "was trained on data dddddddddddd"),
        ({"digests": replace(evidence(1), evidence="")}, GateRefusedError, "evidence digest of this transition is"),
        ({"to": Placement(stable=1, previous=9)}, UnknownNameError, "no version 9 of taxi; recorded are: 1, 2, 3"),
        ({"version": 9}, UnknownNameError, "no version 9"),
        ({"to": Placement(stable=1, weight=101)}, FaultError, "refused"),
    ],
)
def test_a_refused_transition_changes_nothing(
    ledger: Ledger, changes: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        ledger.commit(to_stable(1, ledger.slot(MODEL, LOCAL), **changes))
    assert ledger.slots() == ()
    assert ledger.events(MODEL, LOCAL) == ()


def test_recording_a_version_again_changes_nothing_and_other_bytes_are_a_conflict(ledger: Ledger) -> None:
    assert ledger.record_version(replace(recorded(1), author="grace")).author == "ada"
    with pytest.raises(ConflictError, match="does not belong to this ledger"):
        ledger.record_version(replace(recorded(1), digest=product(5)))
    assert [version.version for version in ledger.versions(MODEL)] == [1, 2, 3]


def test_environments_have_chains_of_their_own(ledger: Ledger) -> None:
    ledger.commit(to_stable(1, ledger.slot(MODEL, LOCAL)))
    ledger.commit(to_stable(2, ledger.slot(MODEL, LOCAL), env=Environment.STAGING, expected_rev=0))
    assert [(slot.env, slot.rev, slot.stable) for slot in ledger.slots()] == [("local", 1, 1), ("staging", 1, 2)]
    assert ledger.replayed(MODEL, Environment.STAGING) == ledger.slot(MODEL, Environment.STAGING)


def test_a_version_that_is_stable_already_is_left_alone(ledger: Ledger) -> None:
    words = {"digests": evidence(1), "actor": "ada", "reason": "the gates passed"}
    first = make_stable_locally(ledger, 1, seen=ledger.slot(MODEL, LOCAL), **words)
    assert make_stable_locally(ledger, 1, seen=first, **words) == first
    assert len(ledger.events(MODEL, LOCAL)) == 1


def test_a_challenger_moves_nothing_and_gives_way_to_the_next_one_and_to_whatever_becomes_stable(
    ledger: Ledger,
) -> None:
    words = {"actor": "ada", "reason": "the gates passed"}
    first = make_stable_locally(ledger, 1, seen=ledger.slot(MODEL, LOCAL), digests=evidence(1), **words)
    second = make_challenger_locally(ledger, 2, seen=first, digests=evidence(2), **words)
    assert second.placement == Placement(stable=1, candidate=2)
    assert make_challenger_locally(ledger, 2, seen=second, digests=evidence(2), **words) == second
    assert make_challenger_locally(ledger, 1, seen=second, digests=evidence(1), **words) == second
    third = make_challenger_locally(ledger, 3, seen=second, digests=evidence(3), **words)
    assert third.placement == Placement(stable=1, candidate=3)
    with pytest.raises(StaleRevisionError):
        make_stable_locally(ledger, 2, seen=second, digests=evidence(2), **words)
    fourth = make_stable_locally(ledger, 2, seen=third, digests=evidence(2), **words)
    assert fourth.placement == Placement(stable=2, previous=1)
    assert ledger.verify(MODEL, LOCAL).intact


def test_replaying_the_events_gives_the_slot(ledger: Ledger) -> None:
    slot = ledger.slot(MODEL, LOCAL)
    for number in (1, 2, 3, 2):
        slot = ledger.commit(to_stable(number, slot))
    assert ledger.replayed(MODEL, LOCAL) == slot


def test_an_export_is_checked_without_the_ledger_and_anchors_it(ledger: Ledger) -> None:
    slot = ledger.slot(MODEL, LOCAL)
    for number in (1, 2):
        slot = ledger.commit(to_stable(number, slot))
    text = canonical_json(ledger.export(MODEL, LOCAL))
    kept = load(Export, json.loads(text))
    checked = chain.verify(kept.slot, kept.events, kept.head)
    assert (checked.findings, checked.head, kept.slot) == ((), kept.head, slot)
    ledger.commit(to_stable(3, slot))
    assert ledger.verify(MODEL, LOCAL, kept.head).intact
    edited = (replace(kept.events[0], actor="eve"), kept.events[1])
    assert chain.verify(kept.slot, edited, kept.head).findings[0].startswith("event 1 was edited")


def test_an_export_of_nothing_has_no_head(ledger: Ledger) -> None:
    assert ledger.export(MODEL, LOCAL).head == Head(MODEL, LOCAL, 0, NO_HASH)
    assert ledger.replayed(MODEL, LOCAL) == ledger.slot(MODEL, LOCAL)


def test_a_chain_whose_slot_was_deleted_is_still_to_be_verified(ledger: Ledger, ledger_url: str) -> None:
    ledger.commit(to_stable(1, ledger.slot(MODEL, LOCAL)))
    ledger.commit(to_stable(2, ledger.slot(MODEL, LOCAL), env=Environment.STAGING, expected_rev=0))
    tamper(ledger_url, "DELETE FROM slot WHERE env = 'local'", "DELETE FROM event WHERE env = 'staging'")
    assert ledger.chains() == ((MODEL, LOCAL), (MODEL, Environment.STAGING))
    assert not any(ledger.verify(model, env).intact for model, env in ledger.chains())


def test_nothing_is_built_on_an_edited_slot(ledger: Ledger, ledger_url: str) -> None:
    first = ledger.commit(to_stable(1, ledger.slot(MODEL, LOCAL)))
    tamper(ledger_url, "UPDATE slot SET stable = 2")
    with pytest.raises(FaultError, match="is not what its newest event left, so nothing was changed"):
        ledger.commit(to_stable(3, first))
    assert ledger.slot(MODEL, LOCAL).rev == 1


def test_peeking_sees_what_the_ledger_says(ledger: Ledger, ledger_url: str) -> None:
    assert peek(ledger_url, MODEL, LOCAL) == (Slot(model=MODEL, env=LOCAL, rev=0), None)
    slot = ledger.commit(to_stable(2, ledger.slot(MODEL, LOCAL)))
    assert peek(ledger_url, MODEL, LOCAL) == (slot, recorded(2))
    slot = ledger.commit(to_stable(3, slot, target="candidate", to=replace(slot.placement, candidate=3)))
    assert slot.candidate == 3
    assert peek(ledger_url, MODEL, LOCAL) == (slot, recorded(2))


TAMPERING = {
    "edited reason": ("UPDATE event SET reason = 'because' WHERE rev = 2", "event 2 was edited"),
    "edited actor": ("UPDATE event SET actor = 'eve' WHERE rev = 1", "event 1 was edited"),
    "edited time": ("UPDATE event SET time = '2020-01-01T00:00:00.000000+00:00' WHERE rev = 3", "event 3 was edited"),
    "edited evidence": ("UPDATE event SET evidence_digest = 'x' WHERE rev = 3", "event 3 was edited"),
    "other operation": ("UPDATE event SET op_id = 'x' WHERE rev = 2", "operation id that is not its own"),
    "first removed": ("DELETE FROM event WHERE rev = 1", "events 1 to 1 are missing"),
    "middle removed": ("DELETE FROM event WHERE rev = 2", "events 2 to 2 are missing"),
    "newest removed": ("DELETE FROM event WHERE rev = 3", "newest event is 2"),
    "all removed": ("DELETE FROM event", "newest event is 0"),
    "slot edited": ("UPDATE slot SET stable = 1", "the slot was edited"),
    "slot removed": ("DELETE FROM slot", "the slot stands at revision 0"),
    "slot set back": ("UPDATE slot SET rev = 2", "the slot stands at revision 2"),
}


@pytest.mark.parametrize("tampering", TAMPERING)
def test_tampering_is_found(ledger: Ledger, ledger_url: str, tampering: str) -> None:
    slot = ledger.slot(MODEL, LOCAL)
    for number in (1, 2, 3):
        slot = ledger.commit(to_stable(number, slot))
    assert ledger.verify(MODEL, LOCAL).intact
    statement, finding = TAMPERING[tampering]
    tamper(ledger_url, statement)
    assert any(finding in found for found in ledger.verify(MODEL, LOCAL).findings)


def test_swapped_events_are_found(ledger: Ledger, ledger_url: str) -> None:
    slot = ledger.slot(MODEL, LOCAL)
    for number in (1, 2, 3):
        slot = ledger.commit(to_stable(number, slot))
    tamper(ledger_url, *(f"UPDATE event SET rev = {new} WHERE rev = {old}" for old, new in ((2, 9), (3, 2), (9, 3))))
    findings = ledger.verify(MODEL, LOCAL).findings
    assert any("event 2 does not follow" in finding for finding in findings)


def test_a_tail_cut_off_with_care_is_found_by_an_exported_head(ledger: Ledger, ledger_url: str) -> None:
    first = ledger.commit(to_stable(1, ledger.slot(MODEL, LOCAL)))
    ledger.commit(to_stable(2, first))
    head = ledger.verify(MODEL, LOCAL).head
    tamper(ledger_url, "DELETE FROM event WHERE rev = 2", "UPDATE slot SET rev = 1, stable = 1, previous = NULL")
    assert ledger.verify(MODEL, LOCAL).intact
    assert "which an exported head names, is missing" in ledger.verify(MODEL, LOCAL, head).findings[0]


def test_a_chain_written_anew_is_found_by_an_exported_head(ledger: Ledger, ledger_url: str) -> None:
    ledger.commit(to_stable(1, ledger.slot(MODEL, LOCAL)))
    head = ledger.verify(MODEL, LOCAL).head
    tamper(ledger_url, "DELETE FROM event", "DELETE FROM slot")
    ledger.commit(to_stable(2, ledger.slot(MODEL, LOCAL)))
    assert ledger.verify(MODEL, LOCAL).intact
    assert "is not the one that an exported head names" in ledger.verify(MODEL, LOCAL, head).findings[0]


def tamper(url: str, *statements: str) -> None:
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
