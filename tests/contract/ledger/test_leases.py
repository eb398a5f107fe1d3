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
    assert 50 < (datetime.fromisoformat(lease.expires_at) - datetime.now(UTC)).total_seconds() <= 61
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
    lease = taxi.ledger.acquire(NAME, "one", 0.4)
    time.sleep(0.2)
    renewed = taxi.ledger.renew(lease)
    assert (renewed.fence, renewed.holder) == (1, "one")
    time.sleep(0.25)
    with pytest.raises(AlreadyRunningError):
        taxi.ledger.acquire(NAME, "two", 1)
    time.sleep(0.2)
    assert taxi.ledger.acquire(NAME, "two", 1).fence == 2


def test_a_writer_that_comes_back_late_is_fenced_and_writes_nothing(taxi: Any) -> None:
    stale = taxi.ledger.acquire(NAME, "one", 0.05)
    time.sleep(0.1)
    current = taxi.ledger.acquire(NAME, "two", 60)
    for late in (
        lambda: taxi.move(1, "stable", sinks=["router"], lease=stale, stable=1),
        lambda: taxi.ledger.renew(stale),
    ):
        with pytest.raises(StaleRevisionError, match="fence 1.* is over, it is held by two with fence 2"):
            late()
    assert taxi.ledger.slots() == ()
    assert taxi.ledger.pending(taxi.env) == ()
    assert taxi.move(1, "stable", lease=current, stable=1).rev == 1


def test_a_released_lease_lets_nothing_be_written(taxi: Any) -> None:
    lease = taxi.ledger.acquire(NAME, "one", 60)
    taxi.ledger.release(lease)
    with pytest.raises(StaleRevisionError, match="is held by nobody"):
        taxi.move(1, "stable", lease=lease, stable=1)


def test_a_lease_that_is_over_and_that_nobody_took_still_fences_nobody_off(taxi: Any) -> None:
    lease = taxi.ledger.acquire(NAME, "one", 0.05)
    time.sleep(0.1)
    assert taxi.move(1, "stable", lease=lease, stable=1).rev == 1
    assert taxi.ledger.renew(lease).fence == 1
