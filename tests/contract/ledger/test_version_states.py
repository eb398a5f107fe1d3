"""Rejected and quarantined: in the commit's own transaction, everywhere, and for good."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from components.errors import GateRefusedError
from components.release.records import VersionState
from components.types.release import Environment


def test_a_rejection_changes_the_version_in_the_transaction_of_its_event(taxi: Any) -> None:
    taxi.move(1, "stable", stable=1)
    taxi.move(2, "shadow", shadow=2)
    slot = taxi.move(2, "rejected", shadow=None)
    assert (slot.stable, slot.shadow) == (1, None)
    assert taxi.ledger.version("taxi", 2).state is VersionState.REJECTED
    assert [event.target for event in taxi.ledger.events("taxi", taxi.env)][-1] == "rejected"
    assert taxi.findings == ()


def test_a_refused_rejection_changes_no_version(taxi: Any) -> None:
    with pytest.raises(GateRefusedError, match="cannot become rejected and stay in production"):
        taxi.move(2, "rejected", shadow=2)
    assert taxi.ledger.version("taxi", 2).state is VersionState.REGISTERED
    assert taxi.ledger.events("taxi", taxi.env) == ()


@pytest.mark.parametrize("state", ["rejected", "quarantined"])
@pytest.mark.parametrize("role", ["stable", "canary", "shadow", "candidate"])
def test_what_is_out_enters_no_role_in_any_environment(taxi: Any, state: str, role: str) -> None:
    taxi.move(2, state)
    for env in Environment:
        there = taxi.elsewhere(env)
        before = there.slot
        with pytest.raises(GateRefusedError, match=f"version 2 of taxi is {state}; it may not be released"):
            there.move(2, role, **{role: 2})
        with pytest.raises(GateRefusedError, match=f"version 2 of taxi is {state}"):
            there.move(1, "stable" if role != "stable" else "shadow", **{role: 2, "previous": 1})
        assert there.slot == before


def test_what_stands_elsewhere_when_it_is_quarantined_can_be_left_but_gets_no_more_traffic(taxi: Any) -> None:
    staging = taxi.elsewhere(Environment.STAGING)
    staging.move(1, "stable", stable=1)
    staging.move(2, "canary:5", canary=2, weight=5)
    taxi.move(2, "quarantined")
    with pytest.raises(GateRefusedError, match="is quarantined"):
        staging.move(2, "canary:25", weight=25)
    with pytest.raises(GateRefusedError, match="is quarantined"):
        staging.move(2, "stable", stable=2, canary=None, weight=0)
    assert staging.move(2, "paused", paused=True).paused
    assert staging.move(2, "rolled_back", canary=None, weight=0, paused=False).versions == {1}


def test_nothing_makes_a_version_better_again(taxi: Any) -> None:
    taxi.move(2, "quarantined")
    taxi.elsewhere(Environment.STAGING).move(2, "rejected")
    assert taxi.ledger.version("taxi", 2).state is VersionState.QUARANTINED
    again = replace(taxi.transition(2, "registered"), version_state=VersionState.REGISTERED)
    with pytest.raises(GateRefusedError, match="do not fit"):
        taxi.ledger.commit(again)
    assert taxi.findings == ()


@pytest.mark.parametrize(("target", "state"), [("rejected", None), ("stable", VersionState.REJECTED)])
def test_a_state_that_its_event_would_not_explain_is_refused(
    taxi: Any, target: str, state: VersionState | None
) -> None:
    with pytest.raises(GateRefusedError, match="do not fit"):
        taxi.ledger.commit(replace(taxi.transition(2, target), version_state=state))


def test_a_version_is_not_recorded_anew_as_rejected(taxi: Any) -> None:
    with pytest.raises(GateRefusedError, match="may not be recorded anew"):
        taxi.ledger.record_version(replace(taxi.recorded(4), state=VersionState.REJECTED))
    assert [version.version for version in taxi.ledger.versions("taxi")] == [1, 2, 3]


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("UPDATE version SET state = 'registered' WHERE version = 2", "version 2 is registered, its events leave it"),
        ("UPDATE version SET state = 'quarantined' WHERE version = 1", "version 1 is quarantined, its events leave it"),
        (f"UPDATE version SET digest = '{'9' * 64}' WHERE version = 2", "version 2 was edited: event 1 moved other"),
        (f"UPDATE version SET dataset_digest = '{'9' * 64}' WHERE version = 2", "moved one of other data"),
    ],
)
def test_a_version_that_its_events_do_not_explain_is_found(taxi: Any, statement: str, finding: str) -> None:
    taxi.move(2, "rejected")
    assert taxi.findings == ()
    assert taxi.tamper(statement) == 1
    assert any(finding in found for found in taxi.findings)


def test_a_state_is_explained_by_the_event_of_another_environment(taxi: Any) -> None:
    taxi.elsewhere(Environment.STAGING).move(2, "rejected")
    assert taxi.findings == ()
    taxi.tamper("UPDATE version SET state = 'registered' WHERE version = 2")
    assert taxi.findings == ("version 2 is registered, its events leave it rejected",)
