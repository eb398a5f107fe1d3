"""The shadow's paired e-value: what it equals, and that it does not accuse a shadow that is as good."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate

from bench.rollouts import until_shadow_alarm
from components.judge import evalue, paired

RATIOS = st.sampled_from([1.0, 1.25, 2.0])


@given(st.integers(0, 80), st.integers(0, 80), st.integers(0, 80), RATIOS)
def test_it_is_the_mean_capital_over_all_bets(shadow: int, stable: int, both: int, ratio: float) -> None:
    def capital(bet: float) -> float:
        return (1 + bet) ** shadow * (1 - ratio * bet) ** stable * (1 - (ratio - 1) * bet) ** both

    expected = ratio * integrate.quad(capital, 0, 1 / ratio, limit=500, epsrel=1e-11)[0]
    assert paired.log_e(shadow, stable, ratio, both) == pytest.approx(math.log(expected), abs=1e-6)


@given(st.integers(0, 100), st.integers(0, 100))
def test_with_no_pair_that_is_bad_on_both_sides_it_is_the_canary_s_e_value_at_one_half(
    shadow: int, stable: int
) -> None:
    expected = evalue.log_e(shadow, shadow + stable, 0.5, 1.25)
    assert paired.log_e(shadow, stable, 1.25) == pytest.approx(expected, abs=1e-6)


def test_pairs_that_agree_say_nothing_at_a_ratio_of_one() -> None:
    assert paired.log_e(5, 2, 1.0, both_bad=1000) == pytest.approx(paired.log_e(5, 2, 1.0))


def test_faults_that_both_share_excuse_a_few_of_the_shadow_s_own() -> None:
    assert paired.log_e(40, 10, 1.25, both_bad=400) < 0 < math.log(100) < paired.log_e(40, 10, 1.25)


@given(st.integers(0, 500), st.integers(0, 500), RATIOS)
def test_it_grows_with_the_shadow_s_faults_and_shrinks_with_stable_s(shadow: int, stable: int, ratio: float) -> None:
    now = paired.log_e(shadow, stable, ratio)
    assert paired.log_e(shadow + 1, stable, ratio) > now > paired.log_e(shadow, stable + 1, ratio)


@pytest.mark.parametrize("both", [0.0, 0.5])
def test_at_the_edge_of_what_is_allowed_it_accuses_at_most_one_in_a_hundred(both: float) -> None:
    random = np.random.default_rng(6)
    ratio, rest = 1.25, 1.0 - both
    shadow_only = (rest * ratio + (ratio - 1.0) * both) / (1.0 + ratio)
    drawn = random.random((1500, 400))
    b = (drawn < shadow_only).cumsum(axis=1)
    d = (drawn > 1.0 - both).cumsum(axis=1) if both else np.zeros_like(b)
    c = np.arange(1, 401) - b - d
    _, won, lost, drawn_even = (bets := paired._bets(ratio))
    logs = [b[:, i, None] * won + c[:, i, None] * lost + d[:, i, None] * drawn_even for i in range(0, 400, 4)]
    e = np.stack([np.exp(each) @ bets[0] for each in logs], axis=1)
    assert paired.log_e(int(b[0, 396]), int(c[0, 396]), ratio, int(d[0, 396])) == pytest.approx(math.log(e[0, 99]))
    assert (e >= 100).any(axis=1).mean() <= 0.01
    assert e[:, -1].mean() < 1.5


def test_a_shadow_twice_as_bad_is_found_in_a_tenth_of_a_canary_s_requests() -> None:
    mirrored = until_shadow_alarm(np.random.default_rng(7), 200, 1500, 0.01, 0.02)
    assert 4500 < np.median(mirrored) < 8500
