"""Leases: one holder at a time, and a fence against one that comes back late."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from components.errors import AlreadyRunningError, StaleRevisionError

NAME = "rollout/taxi/production"


def test_what_is_held_is_not_given_to_another(taxi: Any) -> None:
    lease = taxi.ledger.acquire(NAME, "one", 60)
    assert lease.fence == 1
    assert 30 < seconds_left(lease) <= 61
    with pytest.raises(AlreadyRunningError, match="is being worked on by one until"):
        taxi.ledger.acquire(NAME, "two", 60)
    with pytest.raises(AlreadyRunningError):
        taxi.ledger.acquire(NAME, "one", 60)
    assert taxi.ledger.acquire("rollout/taxi/staging", "two", 60).fence == 1


def test_a_lease_that_was_given_back_is_free_and_its_fence_goes_on(taxi: Any) -> None:
    first = taxi.ledger.acquire(NAME, "one", 60)
    taxi.ledger.release(first)
    taxi.ledger.release(first)
    second = taxi.ledger.acquire(NAME, "two", 60)
    assert second.fence == 2
    taxi.ledger.release(first)
    with pytest.raises(AlreadyRunningError):
        taxi.ledger.acquire(NAME, "three", 60)


def test_a_renewed_lease_lasts_on_from_now(taxi: Any) -> None:
    lease = taxi.ledger.acquire(NAME, "one", 60)
    time.sleep(0.05)
    renewed = taxi.ledger.renew(lease)
    assert (renewed.fence, renewed.holder) == (1, "one")
    assert seconds_left(renewed) > seconds_left(lease) + 0.04
    with pytest.raises(AlreadyRunningError, match=f"until {renewed.expires_at}".replace("+", r"\+")):
        taxi.ledger.acquire(NAME, "two", 1)
    run_out(taxi)
    assert taxi.ledger.acquire(NAME, "two", 1).fence == 2


def test_a_writer_that_comes_back_late_is_fenced_and_writes_nothing(taxi: Any) -> None:
    stale = taxi.ledger.acquire(NAME, "one", 60)
    run_out(taxi)
    current = taxi.ledger.acquire(NAME, "two", 60)
    proposal = taxi.transition(1, "stable", stable=1)
    for late in (
        lambda: taxi.ledger.commit(proposal, sinks=["router"], lease=stale),
        lambda: taxi.ledger.renew(stale),
    ):
        with pytest.raises(StaleRevisionError, match="fence 1.* is over, it is held by two with fence 2"):
            late()
    assert taxi.ledger.slots() == ()
    assert taxi.ledger.pending(taxi.env) == ()
    assert taxi.ledger.commit(proposal, lease=current).rev == 1


def test_a_fence_holds_even_against_the_answer_to_what_was_done_before(taxi: Any) -> None:
    stale = taxi.ledger.acquire(NAME, "one", 60)
    proposal = taxi.transition(1, "stable", stable=1)
    done = taxi.ledger.commit(proposal, lease=stale)
    run_out(taxi)
    current = taxi.ledger.acquire(NAME, "two", 60)
    with pytest.raises(StaleRevisionError):
        taxi.ledger.commit(proposal, lease=stale)
    assert taxi.ledger.commit(proposal, lease=current) == done


def test_a_released_lease_lets_nothing_be_written(taxi: Any) -> None:
    lease = taxi.ledger.acquire(NAME, "one", 60)
    taxi.ledger.release(lease)
    with pytest.raises(StaleRevisionError, match="is held by nobody"):
        taxi.move(1, "stable", lease=lease, stable=1)


def test_a_lease_that_is_over_and_that_nobody_took_still_fences_nobody_off(taxi: Any) -> None:
    lease = taxi.ledger.acquire(NAME, "one", 60)
    run_out(taxi)
    assert taxi.move(1, "stable", lease=lease, stable=1).rev == 1
    assert taxi.ledger.renew(lease).fence == 1


def run_out(taxi: Any) -> None:
    """Let the time of every lease be over."""
    assert taxi.tamper("UPDATE lease SET expires_at = '2026-01-05T12:00:00.000000+00:00'") == 1


def seconds_left(lease: Any) -> float:
    return (datetime.fromisoformat(lease.expires_at) - datetime.now(UTC)).total_seconds()
