"""Intervals cover the truth as often as they say, and the paired ones are as narrow as pairing allows."""

import time

import numpy as np
import pytest

from components.evaluation.record import bootstrap
from components.evaluation.record.bootstrap import intervals, paired_difference
from components.evaluation.record.scored import Scored
from components.types.dataset import Task


def coin_flips(rng, rows, accuracy):
    label = rng.integers(0, 2, rows)
    right = rng.random(rows) < accuracy
    predicted = np.where(right, label, 1 - label)
    score = np.where(predicted == 1, 0.75, 0.25)
    return Scored(Task.BINARY, (False, True), label, predicted, np.stack([1 - score, score], axis=1))


def ranked(rng, rows):
    label = rng.integers(0, 2, rows)
    score = 1 / (1 + np.exp(-(rng.normal(0, 1, rows) + 1.5 * label)))
    return Scored(Task.BINARY, (False, True), label, (score > 0.5) * 1, np.stack([1 - score, score], axis=1))


def test_intervals_cover_the_true_value_about_as_often_as_they_say():
    rng = np.random.default_rng(11)
    covered = 0
    for seed in range(200):
        _, low, high = intervals(coin_flips(rng, 200, 0.8), resamples=200, seed=seed)["accuracy"]
        covered += low <= 0.8 <= high
    assert 0.88 <= covered / 200 <= 0.99  # 95 % asked for; the percentile bootstrap is a little short on 200 rows


def test_the_same_seed_gives_the_same_intervals_and_another_seed_others():
    split = ranked(np.random.default_rng(1), 150)
    assert intervals(split, 200, seed=1) == intervals(split, 200, seed=1)
    assert intervals(split, 200, seed=1) != intervals(split, 200, seed=2)


def test_chunks_do_not_change_an_interval(monkeypatch):
    split = ranked(np.random.default_rng(1), 150)
    whole = intervals(split, 200, seed=1)
    monkeypatch.setattr(bootstrap, "_CHUNK_VALUES", 150 * 7)
    assert intervals(split, 200, seed=1) == whole


def test_a_large_split_gets_the_interval_of_its_own_size_from_a_subset(monkeypatch):
    split = ranked(np.random.default_rng(1), 8000)
    value, low, high = intervals(split, 400, seed=1)["auc"]
    monkeypatch.setattr(bootstrap, "MAX_ROWS", 2000)
    capped_value, capped_low, capped_high = intervals(split, 400, seed=1)["auc"]
    assert capped_value == value
    assert capped_high - capped_low == pytest.approx(high - low, rel=0.25)
    assert capped_low < value < capped_high


def test_intervals_of_a_hundred_thousand_rows_take_seconds():
    split = ranked(np.random.default_rng(1), 100_000)
    started = time.perf_counter()
    intervals(split, 1000, seed=0)
    assert time.perf_counter() - started < 30  # 3 s on a quiet machine


def test_a_metric_that_is_undefined_has_no_interval():
    split = ranked(np.random.default_rng(1), 100)
    one_class = split.take(split.label == 1)
    assert "auc" not in intervals(one_class, 100, seed=0)


def test_a_model_differs_from_itself_by_exactly_nothing():
    split = ranked(np.random.default_rng(1), 100)
    assert paired_difference(split, split, "auc", 200, seed=0, confidence=0.9) == (0.0, 0.0, 0.0)


def test_pairing_sees_a_difference_that_two_intervals_hide():
    rng = np.random.default_rng(2)
    better = ranked(rng, 600)
    noisy = np.clip(better.probabilities[:, 1] + rng.normal(0, 0.1, 600), 0, 1)
    worse = Scored(better.task, better.classes, better.label, (noisy > 0.5) * 1, np.stack([1 - noisy, noisy], axis=1))
    _, low, high = paired_difference(better, worse, "auc", 500, seed=0, confidence=0.9)
    alone = intervals(better, 500, seed=0)["auc"]
    assert low > 0
    assert high - low < alone[2] - alone[1]


def test_rows_that_are_not_the_same_cannot_be_paired():
    split = ranked(np.random.default_rng(1), 100)
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_difference(split, split.take(np.arange(50)), "auc", 100, seed=0, confidence=0.9)


def test_an_undefined_metric_cannot_be_compared():
    split = ranked(np.random.default_rng(1), 100)
    one_class = split.take(split.label == 1)
    with pytest.raises(ValueError, match="undefined"):
        paired_difference(one_class, one_class, "auc", 100, seed=0, confidence=0.9)
