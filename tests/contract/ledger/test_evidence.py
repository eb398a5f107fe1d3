"""Evidence and approvals: stored once, bound to bytes, and found when they are edited."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from components.errors import GateRefusedError, UnknownNameError
from components.release.records import Decision
from components.types.release import Environment


def test_evidence_is_given_back_as_it_was_newest_first(taxi: Any) -> None:
    first, second = taxi.found(1, "gates", {"clean": True}), taxi.found(1, "sandbox", {"failed": 0, "p95_ms": 1.5})
    for evidence in (first, second, first):
        taxi.ledger.add_evidence(evidence)
    assert taxi.ledger.evidence("taxi", taxi.env, 1) == (second, first)
    assert taxi.ledger.evidence("taxi", taxi.env, 1, kind="gates") == (first,)
    assert taxi.ledger.evidence("taxi", taxi.env, 2) == ()
    assert taxi.ledger.evidence("taxi", Environment.STAGING, 1) == ()


def test_the_same_found_again_later_is_newer_evidence(taxi: Any) -> None:
    early = taxi.found(1, "replay", {"unequal": 0})
    late = replace(early, gathered_at="2026-01-05T13:00:00.000000+00:00")
    taxi.ledger.add_evidence(early)
    taxi.ledger.add_evidence(late)
    assert early.digest == late.digest
    assert taxi.ledger.evidence("taxi", taxi.env, 1) == (late, early)


def test_the_newest_of_every_kind_comes_in_one_query(taxi: Any) -> None:
    for number in range(5):
        taxi.ledger.add_evidence(taxi.found(1, "observation", {"tick": number}))
        taxi.ledger.add_evidence(taxi.found(1, "gates", {"tick": number}))
        taxi.ledger.add_evidence(taxi.found(2, "gates", {"tick": 10 + number}))
    newest = taxi.ledger.newest_evidence(taxi.recorded(1), taxi.env)
    assert {kind: each.content for kind, each in newest.items()} == {
        "gates": '{"tick":4}',
        "observation": '{"tick":4}',
    }


def test_evidence_and_approvals_are_about_the_bytes_of_a_recorded_version(taxi: Any) -> None:
    for add, row in (
        (taxi.ledger.add_evidence, taxi.found(1, "gates", {})),
        (taxi.ledger.add_approval, taxi.approval(1, "stable")),
    ):
        with pytest.raises(GateRefusedError, match="says nothing about it"):
            add(replace(row, artifact_digest="9" * 64))
        with pytest.raises(UnknownNameError, match="no version 9"):
            add(replace(row, version=9))
    assert taxi.ledger.evidence("taxi", taxi.env, 1) == ()
    assert taxi.ledger.approvals("taxi", taxi.env) == ()


def test_approvals_are_given_back_as_they_were_oldest_first(taxi: Any) -> None:
    approve = taxi.approval(2, "stable")
    reject = replace(approve, actor="linus", decision=Decision.REJECT, reason="too slow")
    for word in (approve, reject, approve):
        taxi.ledger.add_approval(word)
    assert taxi.ledger.approvals("taxi", taxi.env) == (approve, reject)
    assert taxi.ledger.approvals("taxi", Environment.STAGING) == ()


@pytest.mark.parametrize("env", Environment)
def test_an_event_without_a_decision_is_found_where_there_are_rollouts_and_else_told(
    taxi: Any, env: Environment
) -> None:
    there = taxi.elsewhere(env)
    there.ledger.commit(there.transition(1, "stable", stable=1))
    there.decided(2, "shadow", shadow=2)
    there.decided(2, "stable", approvals=[there.approval(2, "stable")], shadow=None, stable=2, previous=1)
    verification = there.ledger.verify("taxi", env)
    missing = () if env is Environment.LOCAL else ("the decision that event 1 rests on is missing",)
    assert verification.findings == missing
    assert verification.unbacked == (1,)


def test_a_decision_whose_proposal_lost_is_no_finding(taxi: Any) -> None:
    lost = taxi.found(2, "decision", {"target": "shadow"})
    taxi.ledger.add_evidence(lost)
    taxi.decided(2, "shadow", shadow=2)
    taxi.decided(3, "rejected")
    assert taxi.findings == ()


FORGED = '{"approvals":[],"evidence":[],"target":"stable"}'
TAMPERING = {
    "content": ("UPDATE evidence SET content = '{}' WHERE kind = 'gates'", "does not have the digest that is stored"),
    "digest column": (f"UPDATE evidence SET digest = '{'0' * 64}' WHERE kind = 'gates'", "does not have the digest"),
    "kind": ("UPDATE evidence SET kind = 'load' WHERE kind = 'gates'", "was edited"),
    "time": ("UPDATE evidence SET gathered_at = '2030' WHERE kind = 'gates'", "was edited"),
    "gates deleted": ("DELETE FROM evidence WHERE kind = 'gates'", "which event 1 rests on, is missing"),
    "decision's content": (f"UPDATE evidence SET content = '{FORGED}' WHERE kind = 'decision'", "does not have the"),
    "approver": ("UPDATE approval SET actor = 'ada'", "an approval by ada at revision 0 was edited"),
    "word": ("UPDATE approval SET decision = 'reject'", "was edited"),
    "approval deleted": ("DELETE FROM approval", "an approval by grace that event 1 rests on is missing"),
}


@pytest.mark.parametrize("tampering", TAMPERING)
def test_edited_evidence_and_approvals_are_found(taxi: Any, tampering: str) -> None:
    taxi.decided(2, "stable", approvals=[taxi.approval(2, "stable")], stable=2)
    assert taxi.findings == ()
    statement, finding = TAMPERING[tampering]
    assert taxi.tamper(statement) >= 1
    assert any(finding in found for found in taxi.findings), taxi.findings


def test_a_decision_that_was_rewritten_with_all_its_digests_is_found_by_its_event(taxi: Any) -> None:
    taxi.decided(2, "stable", approvals=[taxi.approval(2, "stable")], stable=2)
    forged = taxi.found(2, "decision", {"target": "stable", "evidence": [], "approvals": []}, rev=0)
    taxi.tamper("DELETE FROM evidence WHERE kind = 'decision'")
    taxi.ledger.add_evidence(forged)
    assert taxi.findings == ("the decision that event 1 rests on was replaced by another",)


def test_an_approval_that_was_rewritten_with_its_digest_is_found_by_the_decision(taxi: Any) -> None:
    taxi.decided(2, "stable", approvals=[taxi.approval(2, "stable")], stable=2)
    taxi.tamper("DELETE FROM approval")
    taxi.ledger.add_approval(taxi.approval(2, "stable", actor="eve", rev=0))
    assert taxi.findings == ("an approval by grace that event 1 rests on is missing or was edited",)


@pytest.mark.parametrize("content", [["no", "mapping"], {"evidence": "abc"}, {"approvals": [{"actor": "eve"}]}])
def test_a_decision_that_cannot_be_read_is_said_to_be_so(taxi: Any, content: object) -> None:
    unreadable = taxi.found(2, "decision", content)
    taxi.ledger.add_evidence(unreadable)
    taxi.move(2, "stable", evidence=unreadable.digest, stable=2)
    assert taxi.findings == ("the decision that event 1 rests on cannot be read",)


@pytest.mark.parametrize("column", ["author", "runtime"])
def test_a_version_whose_author_was_changed_after_a_decision_is_found(taxi: Any, column: str) -> None:
    decision = taxi.found(2, "decision", {"version": taxi.recorded(2)})
    taxi.ledger.add_evidence(decision)
    taxi.move(2, "stable", evidence=decision.digest, stable=2)
    taxi.move(3, "rejected")
    assert taxi.findings == ()
    taxi.tamper(f"UPDATE version SET {column} = 'eve' WHERE version = 2")
    assert taxi.findings == ("version 2 was edited: event 1 rests on another row of it",)
