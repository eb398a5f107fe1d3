"""The judge's e-value: what it equals, how it moves, and how seldom it accuses the innocent."""

from __future__ import annotations

import math
import subprocess
import sys
import timeit

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, special, stats

from bench.rollouts import of_pairs
from components.judge import evalue
from components.judge.incomplete_beta import log_lower, log_upper

SHARES = st.sampled_from([0.01, 0.05, 0.25, 0.5, 0.9])
RATIOS = st.sampled_from([1.0, 1.25, 2.0])


def by_quadrature(k: int, n: int, p0: float) -> float:
    def ratio(p: float) -> float:
        return (p / p0) ** k * ((1 - p) / (1 - p0)) ** (n - k)

    peak = min(max(k / n if n else p0, p0), 1 - 1e-9)
    return integrate.quad(ratio, p0, 1, points=[peak], limit=500, epsrel=1e-11)[0] / (1 - p0)


@given(st.integers(0, 60), st.integers(0, 60), SHARES, RATIOS)
def test_it_is_the_truncated_mixture_of_likelihood_ratios(canary: int, stable: int, share: float, ratio: float) -> None:
    p0 = evalue.boundary(share, ratio)
    expected = by_quadrature(canary, canary + stable, p0)
    assert evalue.log_e(canary, canary + stable, share, ratio) == pytest.approx(math.log(expected), abs=1e-6)


def test_the_boundary_is_the_share_of_a_canary_that_errs_as_often_as_is_allowed() -> None:
    assert evalue.boundary(0.05, 1.0) == pytest.approx(0.05)
    assert evalue.boundary(0.05, 1.25) == pytest.approx(1.25 * 0.05 / (1.25 * 0.05 + 0.95))


def test_nothing_seen_says_nothing() -> None:
    assert evalue.log_e(0, 0, 0.05, 1.25) == 0.0


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_where_all_or_nobody_reaches_the_canary_nothing_can_be_compared(share: float) -> None:
    assert evalue.log_e(5, 5, share, 1.25) == 0.0


@given(st.integers(0, 3000), st.integers(1, 3000), SHARES, RATIOS)
def test_one_more_event_of_the_canary_weighs_more_than_one_more_of_stable(
    canary: int, stable: int, share: float, ratio: float
) -> None:
    now = evalue.log_e(canary, canary + stable, share, ratio)
    worse = evalue.log_e(canary + 1, canary + stable + 1, share, ratio)
    better = evalue.log_e(canary, canary + stable + 1, share, ratio)
    assert worse > now - 1e-4
    assert worse > better


@given(st.integers(3, 300), SHARES)
def test_what_is_allowed_more_is_accused_later(events: int, share: float) -> None:
    assert evalue.log_e(events, events, share, 1.25) < evalue.log_e(events, events, share, 1.0)


@given(st.integers(1, 10_000_000), st.floats(-35, 35), SHARES)
def test_the_tail_is_that_of_scipy_from_one_event_to_ten_million(n: int, sigmas: float, p: float) -> None:
    k = min(max(round(n * p + sigmas * math.sqrt(n * p * (1 - p))), 0), n)
    expected = special.betaincc(k + 1, n - k + 1, p)
    if expected > 1e-290:
        assert log_upper(k + 1, n - k + 1, p) == pytest.approx(math.log(expected), abs=1e-4)
        assert log_lower(n - k + 1, k + 1, 1 - p) == pytest.approx(math.log(expected), abs=1e-4)


def test_the_ends_of_the_beta_distribution_are_certain() -> None:
    assert log_lower(2, 3, 0.0) == -math.inf
    assert log_lower(2, 3, 1.0) == 0.0


@pytest.mark.parametrize("share", [0.05, 0.25, 0.5])
@pytest.mark.parametrize("events", [1, 5, 15, 40])
def test_at_the_edge_of_what_is_allowed_the_mean_is_one_and_below_it_less(share: float, events: int) -> None:
    k = np.arange(events + 1)
    e = np.array([evalue.from_log(evalue.log_e(int(i), events, share, 1.25)) for i in k])
    edge, equal = evalue.boundary(share, 1.25), evalue.boundary(share, 1.0)
    assert stats.binom.pmf(k, events, edge) @ e == pytest.approx(1.0, abs=1e-6)
    assert stats.binom.pmf(k, events, equal) @ e < 1.0


def test_looking_after_every_event_accuses_at_most_one_in_a_hundred_at_the_edge() -> None:
    random = np.random.default_rng(4)
    from_canary = random.random((4000, 300)) < evalue.boundary(0.05, 1.25)
    k = from_canary.cumsum(axis=1)
    n = np.broadcast_to(np.arange(1, 301), k.shape)
    e = of_pairs(lambda k, n: evalue.log_e(k, n, 0.05, 1.25), k, n)
    accused = (e >= math.log(100)).any(axis=1).mean()
    assert 0.0 < accused <= 0.01


def test_kinds_are_averaged_and_one_without_events_counts_as_one() -> None:
    assert evalue.average([4.0, 1.0, 1.0]) == 2.0
    assert evalue.average([]) == 1.0


def test_a_release_of_several_steps_starts_at_one_and_counts_what_it_has_not_reached_as_one() -> None:
    assert evalue.average([1.0], steps=3, ended=()) == 1.0
    assert evalue.average([7.0], steps=3, ended=(4.0,)) == pytest.approx((4.0 + 7.0 + 1.0) / 3)


def test_steps_of_which_nothing_is_known_count_as_nothing() -> None:
    assert evalue.average([300.0], steps=3) == pytest.approx(100.0)
    assert evalue.average([299.0], steps=3) < 100.0


def test_three_steps_together_accuse_at_most_one_in_a_hundred_at_the_edge() -> None:
    random = np.random.default_rng(5)
    accused = np.zeros(3000, dtype=bool)
    ended: list[np.ndarray] = []
    for share in (0.05, 0.25, 0.5):
        k = (random.random((3000, 120)) < evalue.boundary(share, 1.25)).cumsum(axis=1)
        n = np.broadcast_to(np.arange(1, 121), k.shape)
        e = np.exp(of_pairs(lambda k, n, share=share: evalue.log_e(k, n, share, 1.25), k, n))
        accused |= evalue.average([e.max(axis=1)], 3, ended) >= 100
        ended.append(e[:, -1])
    assert 0.0 < accused.mean() <= 0.01


def test_an_e_value_is_never_infinite() -> None:
    assert math.isfinite(evalue.from_log(evalue.log_e(100_000, 100_000, 0.05, 1.25)))


def test_it_is_fast_enough_to_run_after_every_bad_event() -> None:
    worst = max(
        min(timeit.repeat(lambda k=k, n=n: evalue.log_e(k, n, 0.5, 1.25), number=50, repeat=5)) / 50
        for n in (10, 1000, 100_000)
        for k in (n // 20, round(n * 5 / 9), n)
    )
    assert worst < 100e-6  # 13 microseconds where nothing else runs


def test_what_the_gateway_calls_imports_neither_scipy_nor_pandas() -> None:
    code = """
import sys
from components.judge import breaker, bounds, evalue, latency, paired, psi, split
evalue.log_e(3, 10, .05, 1.25), breaker.tripped(3, 3, 0, 60), split.p_value(5, 90, .05), paired.log_e(3, 1, 1.25)
psi.psi([200, 200], [200, 200])
print(sorted({"scipy", "pandas", "polars", "pyarrow", "mlflow"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
