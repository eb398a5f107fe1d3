"""The population stability index: what it says of drift, and when it says nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.judge import psi

RANDOM = np.random.default_rng(8)


def between(stable: np.ndarray, new: np.ndarray) -> float | None:
    inner = psi.edges(stable)
    return psi.psi(psi.counts(stable, inner), psi.counts(new, inner))


def test_ten_quantile_bins_hold_a_tenth_each() -> None:
    sample = RANDOM.normal(size=10_000)
    assert psi.counts(sample, psi.edges(sample)).tolist() == [1000] * 10 + [0]


def test_it_is_the_sum_that_the_literature_gives() -> None:
    p, q = np.array([0.2, 0.3, 0.5]), np.array([0.1, 0.3, 0.6])
    expected = float(np.sum((q - p) * np.log(q / p)))
    assert psi.psi(p * 1e7, q * 1e7) == pytest.approx(expected, abs=1e-5)


def test_fewer_than_three_hundred_on_either_side_are_insufficient() -> None:
    assert psi.psi([150, 149], [500, 500]) is None
    assert psi.psi([500, 500], [299, 0]) is None
    assert psi.psi([150, 150], [150, 150]) == 0.0


def test_nothing_counted_is_insufficient_also_without_a_least_number() -> None:
    assert psi.psi([0, 0], [0, 0], min_rows=0) is None


def test_two_samples_of_the_same_distribution_stay_below_the_limit() -> None:
    values = [between(RANDOM.normal(size=300), RANDOM.normal(size=300)) for _ in range(200)]
    assert np.mean(values) == pytest.approx(9 * 2 / 300, rel=0.3)
    assert np.mean(np.array(values) >= 0.2) < 0.01


def test_a_shift_of_six_tenths_of_a_standard_deviation_is_found() -> None:
    values = [between(RANDOM.normal(size=3000), RANDOM.normal(0.6, size=3000)) for _ in range(50)]
    assert min(values) > 0.2


def test_labels_are_counted_in_a_bin_per_class_and_an_empty_bin_gives_a_finite_figure() -> None:
    assert 0.2 < psi.psi([600, 400, 0], [300, 400, 300]) < 5
    assert psi.psi([600, 400, 0], [600, 400, 0]) == 0.0


def test_what_is_not_finite_has_a_bin_of_its_own() -> None:
    sample = RANDOM.normal(size=1000)
    broken = np.where(np.arange(1000) < 400, np.nan, sample)
    assert psi.counts(broken, psi.edges(sample))[-1] == 400
    assert between(sample, broken) > 0.2


def test_a_value_on_an_edge_belongs_to_the_bin_below() -> None:
    assert psi.counts([0.0, 1.0, 1.5, 2.0, 2.5], np.array([1.0, 2.0])).tolist() == [2, 2, 1, 0]


def test_repeated_values_make_fewer_bins() -> None:
    assert len(psi.edges(np.r_[np.zeros(950), np.arange(1, 51)])) == 1
    assert len(psi.edges([np.nan, np.inf])) == 0


def test_sides_with_other_bins_are_refused() -> None:
    with pytest.raises(ValueError, match="same on both sides"):
        psi.psi([400], [200, 200])


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=2, max_size=20))
def test_it_is_never_negative_and_the_same_from_both_sides(bins: list[tuple[int, int]]) -> None:
    expected, actual = np.array(bins).T
    there, back = psi.psi(expected, actual, min_rows=1), psi.psi(actual, expected, min_rows=1)
    assert (there is None) == (back is None)
    if there is not None:
        assert there >= 0
        assert there == pytest.approx(back)
