"""The outbox: written with the event or not at all, applied in order, never forgotten."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from components.errors import GateRefusedError, StaleRevisionError, UnknownNameError
from components.types.release import Environment


def test_an_event_leaves_a_row_for_every_sink_in_order(taxi: Any) -> None:
    taxi.move(1, "stable", sinks=["router", "aliases"], stable=1)
    taxi.move(2, "shadow", sinks=["router", "webhook:team"], shadow=2)
    rows = taxi.ledger.pending(taxi.env)
    assert [(row.rev, row.sink, row.attempts, row.error) for row in rows] == [
        (1, "router", 0, ""),
        (1, "aliases", 0, ""),
        (2, "router", 0, ""),
        (2, "webhook:team", 0, ""),
    ]
    assert taxi.ledger.pending(Environment.STAGING) == ()


def test_what_was_refused_or_made_before_leaves_no_row(taxi: Any) -> None:
    proposal = taxi.transition(1, "stable", stable=1)
    taxi.ledger.commit(proposal, sinks=["router"])
    taxi.ledger.commit(proposal, sinks=["router", "aliases"])
    with pytest.raises(StaleRevisionError):
        taxi.ledger.commit(replace(proposal, version=2), sinks=["router"])
    with pytest.raises(GateRefusedError):
        taxi.move(2, "rejected", sinks=["router"], shadow=2)
    assert [(row.rev, row.sink) for row in taxi.ledger.pending(taxi.env)] == [(1, "router")]


def test_a_row_stays_until_it_was_applied(taxi: Any) -> None:
    taxi.move(1, "stable", sinks=["router", "aliases"], stable=1)
    router, registry = taxi.ledger.pending(taxi.env)
    taxi.ledger.failed(registry, "the registry is down")
    taxi.ledger.failed(registry, "the registry is still down")
    taxi.ledger.applied(router)
    taxi.ledger.applied(router)
    assert taxi.ledger.pending(taxi.env) == (replace(registry, attempts=2, error="the registry is still down"),)
    taxi.ledger.applied(registry)
    taxi.ledger.failed(registry, "came late")
    assert taxi.ledger.pending(taxi.env) == ()


def test_a_row_of_a_ledger_that_was_restored_is_not_taken_for_another(taxi: Any) -> None:
    taxi.move(1, "stable", sinks=["router"], stable=1)
    (row,) = taxi.ledger.pending(taxi.env)
    for other in (replace(row, rev=7), replace(row, sink="aliases"), replace(row, id=99)):
        with pytest.raises(UnknownNameError, match="was restored or edited"):
            taxi.ledger.applied(other)
        with pytest.raises(UnknownNameError, match="was restored or edited"):
            taxi.ledger.failed(other, "down")
    assert taxi.ledger.pending(taxi.env) == (row,)
