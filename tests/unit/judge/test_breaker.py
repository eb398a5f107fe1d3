"""The breaker: what trips it at once, and what does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.rollouts import breaker_trips
from components.judge.breaker import tripped


def test_three_failures_at_once_beside_a_sound_stable_version_trip() -> None:
    assert tripped(3, 3, 0, 57)


def test_two_failures_are_not_enough() -> None:
    assert not tripped(2, 2, 0, 10_000)


def test_three_failures_are_three_also_within_twenty_and_no_longer_after() -> None:
    assert tripped(3, 20, 4, 380)
    assert not tripped(3, 21, 4, 399)


def test_a_stable_version_that_fails_as_much_does_not_trip_it() -> None:
    assert not tripped(20, 20, 380, 380)
    assert not tripped(6, 20, 114, 380)


def test_where_stable_answered_nothing_yet_it_takes_more_to_trip() -> None:
    assert not tripped(3, 3, 0, 0)
    assert tripped(11, 11, 0, 0)


def test_how_many_failures_within_how_many_requests_is_a_setting() -> None:
    assert not tripped(3, 3, 0, 57, failures=5)
    assert tripped(5, 40, 0, 700, failures=5, requests=40)


@given(st.integers(3, 20), st.integers(0, 500), st.integers(0, 500))
def test_it_trips_where_stable_would_rarely_fail_so_often(failed: int, bad: int, good: int) -> None:
    chance = stats.betabinom.sf(failed - 1, 20, 1.25 * bad + 0.1, max(good - 0.25 * bad, 0) + 3)
    if abs(chance - 0.01) > 1e-9:
        assert tripped(failed, 20, bad, bad + good) == (chance < 0.01)


@given(st.integers(3, 19), st.integers(0, 50), st.integers(50, 500))
def test_more_failures_never_untrip_it_and_a_worse_stable_never_trips_it(failed: int, bad: int, n: int) -> None:
    assert tripped(failed + 1, 20, bad, n) >= tripped(failed, 20, bad, n)
    assert tripped(failed, 20, bad, n) >= tripped(failed, 20, bad + 1, n)


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.3, 1.0])
def test_at_five_percent_it_stops_less_than_one_healthy_canary_in_a_hundred(rate: float) -> None:
    assert breaker_trips(np.random.default_rng(0), 3000, 0.05, rate, rate)[0] < 0.01


def test_a_broken_canary_is_stopped_within_five_of_its_requests() -> None:
    part, at = breaker_trips(np.random.default_rng(0), 2000, 0.05, 0.01, 1.0)
    assert part == 1.0
    assert np.quantile(at, 0.95, method="higher") <= 5
