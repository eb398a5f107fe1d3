"""The observed split and the upper bound of a rate, against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from components.judge import bounds, split


@given(st.integers(1, 2_000_000), st.floats(-12, 12), st.sampled_from([0.01, 0.05, 0.25, 0.5, 0.75]))
def test_the_split_s_p_value_is_twice_the_binomial_tail(users: int, sigmas: float, share: float) -> None:
    k = min(max(round(users * share + sigmas * np.sqrt(users * share * (1 - share))), 0), users)
    tail = min(stats.binom.cdf(k, users, share), stats.binom.sf(k - 1, users, share))
    assert split.p_value(k, users, share) == pytest.approx(min(1.0, 2 * tail), rel=1e-4, abs=1e-300)


def test_the_split_of_nobody_says_nothing() -> None:
    assert split.p_value(0, 0, 0.05) == 1.0


def test_a_canary_that_gets_twice_its_share_is_noticed_and_a_fair_one_is_not() -> None:
    assert split.p_value(200, 2000, 0.05) < 1e-4
    assert split.p_value(108, 2000, 0.05) > 0.4
    assert split.p_value(0, 2000, 0.05) < 1e-4


def test_a_weight_of_nothing_or_all_leaves_no_room() -> None:
    assert split.p_value(0, 50, 0.0) == 1.0
    assert split.p_value(1, 50, 0.0) == 0.0
    assert split.p_value(50, 50, 1.0) == 1.0
    assert split.p_value(49, 50, 1.0) == 0.0


def test_more_canary_users_than_users_are_refused() -> None:
    with pytest.raises(ValueError, match="3 of 2 users"):
        split.p_value(3, 2, 0.5)


@given(st.integers(0, 400), st.integers(1, 400), st.sampled_from([0.9, 0.95, 0.99]))
def test_the_upper_bound_is_the_rate_at_which_so_few_would_be_rare(bad: int, good: int, confidence: float) -> None:
    found = bounds.upper(bad, bad + good, confidence)
    assert stats.binom.cdf(bad, bad + good, found) == pytest.approx(1 - confidence, rel=1e-6)


def test_three_hundred_requests_pass_one_percent_only_with_none_bad() -> None:
    assert bounds.upper(0, 300) < 0.01 < bounds.upper(1, 300)
    assert bounds.upper(0, 298) > 0.01


def test_where_nothing_was_seen_anything_is_possible() -> None:
    assert bounds.upper(0, 0) == 1.0
    assert bounds.upper(7, 7) == 1.0


@pytest.mark.parametrize("counts", [(-1, 5), (6, 5)])
def test_impossible_counts_have_no_bound(counts: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="no bound"):
        bounds.upper(*counts)


def test_an_impossible_confidence_has_no_bound() -> None:
    with pytest.raises(ValueError, match="confidence of 95"):
        bounds.upper(1, 5, 95)
