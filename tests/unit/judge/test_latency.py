"""Latency bins: how exact, and that workers' counts add up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.judge import latency


def counted(seconds: np.ndarray) -> np.ndarray:
    return np.bincount([latency.bin_of(float(each)) for each in seconds], minlength=latency.BINS)


@given(st.floats(1e-5, 160))
def test_a_bin_is_within_five_percent_of_what_it_holds(seconds: float) -> None:
    counts = np.zeros(latency.BINS, dtype=np.int64)
    counts[latency.bin_of(seconds)] = 1
    assert latency.quantile(counts, 0.5) == pytest.approx(seconds, rel=0.045)


@given(st.floats(0, 1e4), st.floats(0, 1e4))
def test_bins_are_in_order_and_take_whatever_comes(first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert 0 <= latency.bin_of(low) <= latency.bin_of(high) < latency.BINS


@pytest.mark.parametrize("q", [0.5, 0.95, 0.99])
def test_a_quantile_is_that_of_the_sample_within_a_bin(q: float) -> None:
    seconds = np.random.default_rng(9).lognormal(-6, 0.8, 5000)
    exact = float(np.quantile(seconds, q, method="inverted_cdf"))
    assert latency.quantile(counted(seconds), q) == pytest.approx(exact, rel=0.045)


def test_two_workers_counts_add_up_to_those_of_one() -> None:
    seconds = np.random.default_rng(9).exponential(0.01, 1000)
    parts = counted(seconds[:400]) + counted(seconds[400:])
    assert latency.quantile(parts, 0.95) == latency.quantile(counted(seconds), 0.95)


def test_at_most_a_twentieth_is_later_than_the_bin_of_the_95th_percentile() -> None:
    seconds = np.random.default_rng(9).exponential(0.01, 1000)
    place = latency.quantile_bin(counted(seconds), 0.95)
    assert 0.02 < np.mean([latency.bin_of(float(each)) > place for each in seconds]) <= 0.05


def test_too_few_latencies_have_no_quantile() -> None:
    counts = counted(np.full(19, 0.01))
    assert latency.quantile_bin(counts, 0.95, at_least=20) is None
    assert latency.quantile_bin(counts, 0.95, at_least=19) == latency.bin_of(0.01)
    assert latency.quantile(np.zeros(latency.BINS, dtype=np.int64), 0.5) is None
