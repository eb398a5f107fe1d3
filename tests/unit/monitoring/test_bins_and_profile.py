"""What training rows look like is counted once, in bins that serving is counted into the same way."""

import math

import numpy as np
import polars as pl
import pytest

from components.errors import DigestMismatchError
from components.judge import psi
from components.monitoring.bins import MISSING, OTHER, Bins, count_into, counts_of, find_bins
from components.monitoring.profile import ReferenceProfile, make_profile
from components.types import record
from components.types.dataset import ColumnType


def counted(bins, values, kind):
    column = values if isinstance(values, pl.Series) else pl.Series("x", values)
    sums = column.to_frame("x").lazy().select(count_into(bins, pl.col("x"), kind, "c")).collect().row(0, named=True)
    return counts_of(bins, sums, "c", len(column))


def test_numbers_fall_into_ten_quantile_bins_and_a_value_on_an_edge_into_the_bin_below():
    bins = find_bins(pl.Series(np.arange(1.0, 101.0)), ColumnType.FLOAT64)
    assert len(bins.edges) == 9
    assert counted(bins, [float(value) for value in range(1, 101)], ColumnType.FLOAT64) == (10,) * 10 + (0,)
    assert counted(Bins((1.0, 2.0), ()), [1.0, 1.5, 2.0, 2.5, -math.inf, math.nan, None], ColumnType.FLOAT64) == (
        1, 2, 1, 3,
    )  # fmt: skip


def test_counting_agrees_with_the_judges_own_bins():
    values = np.random.default_rng(0).normal(size=5_000)
    bins = find_bins(pl.Series(values), ColumnType.FLOAT64)
    assert counted(bins, pl.Series(values), ColumnType.FLOAT64) == tuple(psi.counts(values, np.array(bins.edges)))


def test_numbers_of_few_values_are_counted_by_value():
    bins = find_bins(pl.Series([5, 5, 5]), ColumnType.INT64)
    assert bins.values == (5,)
    assert counted(bins, [3, 3, 5, None], ColumnType.INT64) == (1, 2, 1)
    assert bins.labels == ("5", OTHER, MISSING)


def test_texts_have_a_bin_each_up_to_twenty_and_one_for_all_others():
    bins = find_bins(pl.Series([f"city {place}" for place in range(25) for _ in range(30 - place)]), ColumnType.STRING)
    assert len(bins.values) == 20
    assert bins.values[0] == "city 0"
    assert counted(bins, ["city 0", "city 24", "nowhere", None], ColumnType.STRING)[-2:] == (2, 1)


def test_a_truth_is_counted_by_value():
    bins = find_bins(pl.Series([True, False, True]), ColumnType.BOOL)
    assert counted(bins, [False, True, True], ColumnType.BOOL) == (2, 1, 0, 0)


def test_a_column_without_a_value_still_counts_what_is_missing():
    bins = find_bins(pl.Series([None, None], dtype=pl.Float64), ColumnType.FLOAT64)
    assert counted(bins, [1.0, None], ColumnType.FLOAT64) == (1, 1)
    assert bins.labels == (OTHER, MISSING)


def test_a_profile_holds_every_input_the_predictions_and_the_promise(prepared, spec, evaluation, tmp_path):
    found = make_profile(prepared, spec, evaluation, tmp_path / "predictions.parquet")
    assert [column.name for column in found.columns] == ["age", "visits", "smoker", "city"]
    assert all(sum(column.counts) == found.rows == 4_000 for column in found.columns)
    assert 100 < found.columns[0].counts[-1] < 300  # a twentieth of the ages is missing
    assert found.prediction.counts == (700, 300, 0, 0)
    assert (found.product_digest, found.primary, found.metrics) == ("p" * 64, "auc", {"auc": 0.9})
    assert record.load(ReferenceProfile, record.dump(found)) == found


def test_a_profile_of_another_dataset_is_refused(prepared, spec, evaluation, tmp_path):
    from dataclasses import replace

    with pytest.raises(DigestMismatchError, match="holds data dddddddddddd"):
        make_profile(prepared, spec, replace(evaluation, dataset_digest="e" * 64), tmp_path / "predictions.parquet")


def test_a_damaged_split_is_refused(prepared, spec, evaluation, tmp_path):
    (prepared / "train.parquet").write_bytes(b"no parquet")
    with pytest.raises(DigestMismatchError, match="run people again"):
        make_profile(prepared, spec, evaluation, tmp_path / "predictions.parquet")
