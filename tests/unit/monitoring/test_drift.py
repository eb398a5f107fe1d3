"""Drift that is there is found, drift that is not there is not, and few rows say nothing."""

import math
from dataclasses import replace

import pytest

from components.monitoring.bins import Bins
from components.monitoring.config import MonitoringSection
from components.monitoring.drift import column_drift, drift_finding, feature_drift, prediction_drift
from components.monitoring.log_files import answered_rows
from components.monitoring.profile import ColumnProfile, make_profile
from components.monitoring.served import ServedVersion, count_served, write_spread
from components.types.dataset import ColumnType
from components.types.monitoring import FindingKind, Status
from tests.unit.monitoring.conftest import INPUTS, rows_of

SECTION = MonitoringSection()
COLUMNS = {each.name: each.name for each in INPUTS}


@pytest.fixture
def profile(prepared, spec, evaluation, tmp_path):
    return make_profile(prepared, spec, evaluation, tmp_path / "predictions.parquet")


def served(window):
    return ServedVersion(3, window.files()[3], INPUTS, COLUMNS)


def test_the_index_is_the_sum_that_is_worked_out_by_hand():
    column = ColumnProfile("city", ColumnType.STRING, Bins((), ("Oslo",)), (600, 400, 0))
    found = column_drift(column, (300, 700, 0), 3, SECTION)
    p, q = (600.5 / 1001, 400.5 / 1001), (300.5 / 1001, 700.5 / 1001)
    by_hand = (q[0] - p[0]) * math.log(q[0] / p[0]) + (q[1] - p[1]) * math.log(q[1] / p[1])
    assert found.psi == pytest.approx(by_hand, abs=1e-12)
    assert by_hand == pytest.approx(0.3747, abs=1e-3)
    assert found.status is Status.ALARM
    assert [(bar.label, bar.training, bar.serving) for bar in found.bars] == [("Oslo", 0.6, 0.3), ("(other)", 0.4, 0.7)]


@pytest.mark.parametrize(
    ("counts", "status"),
    [
        ((600, 400, 0), Status.OK),
        ((450, 550, 0), Status.OK),
        ((430, 570, 0), Status.WARN),
        ((350, 650, 0), Status.ALARM),
        ((179, 120, 0), Status.INSUFFICIENT),
    ],
)
def test_a_column_is_as_bad_as_its_index(counts, status):
    column = ColumnProfile("city", ColumnType.STRING, Bins((), ("Oslo",)), (600, 400, 0))
    assert column_drift(column, counts, 3, SECTION).status is status


def test_few_training_rows_say_nothing_either():
    column = ColumnProfile("city", ColumnType.STRING, Bins((), ("Oslo",)), (150, 149, 0))
    found = column_drift(column, (0, 5_000, 0), 3, SECTION)
    assert (found.psi, found.status) == (None, Status.INSUFFICIENT)
    sentence = drift_finding(FindingKind.FEATURE_DRIFT, [found], 3, SECTION).sentence
    assert "from the training of version 3" in sentence


def test_rows_of_the_same_kind_have_not_drifted(profile, write_log):
    window = write_log(rows_of(2_000, seed=1))
    counts = count_served(window, served(window), profile)
    assert counts.rows == 2_000
    found = feature_drift(profile, counts, 3, SECTION)
    assert {each.column: each.status for each in found} == dict.fromkeys(COLUMNS, Status.OK)
    assert max(each.psi for each in found) < 0.03
    assert prediction_drift(profile, counts, 3, SECTION).status is Status.OK
    finding = drift_finding(FindingKind.FEATURE_DRIFT, found, 3, SECTION)
    assert (finding.status, finding.version) == (Status.OK, 3)
    assert "as in training" in finding.sentence


def test_a_shifted_number_and_another_mix_of_texts_are_found_and_nothing_else(profile, write_log):
    window = write_log(rows_of(2_000, seed=1, age=8, oslo=0.2))
    found = feature_drift(profile, count_served(window, served(window), profile), 3, SECTION)
    drifted = {each.column for each in found if each.status is Status.ALARM}
    assert drifted == {"age", "city"}
    finding = drift_finding(FindingKind.FEATURE_DRIFT, found, 3, SECTION)
    assert finding.status is Status.ALARM
    assert "`city` 0." in finding.sentence
    assert "`age` 0." in finding.sentence
    assert "smoker" not in finding.sentence


def test_values_that_are_missing_more_often_are_drift(profile, write_log):
    import polars as pl

    rows = (
        rows_of(2_000, seed=1).with_row_index().with_columns(pl.when(pl.col("index") % 2 == 0).then("age").alias("age"))
    )
    window = write_log(rows.drop("index"))
    age = feature_drift(profile, count_served(window, served(window), profile), 3, SECTION)[0]
    assert age.status is Status.ALARM
    assert age.serving_missing > 0.4
    assert age.training_missing < 0.1


def test_predictions_that_lean_another_way_are_found(profile, write_log):
    window = write_log(rows_of(1_000, seed=1), prediction=["yes"] * 1_000)
    found = prediction_drift(profile, count_served(window, served(window), profile), 3, SECTION)
    assert found.status is Status.ALARM
    assert "predictions drifted" in drift_finding(FindingKind.PREDICTION_DRIFT, [found], 3, SECTION).sentence


def test_few_rows_are_insufficient_and_say_how_many(profile, write_log):
    window = write_log(rows_of(299, seed=1, age=30))
    found = feature_drift(profile, count_served(window, served(window), profile), 3, SECTION)
    finding = drift_finding(FindingKind.FEATURE_DRIFT, found, 3, SECTION)
    assert finding.status is Status.INSUFFICIENT
    assert "299 served rows" in finding.sentence


def test_shadows_and_failures_are_not_what_users_asked(profile, write_log):
    write_log(rows_of(500, seed=1))
    write_log(rows_of(500, seed=2), role="shadow")
    window = write_log(rows_of(500, seed=3), status=[500] * 500)
    assert count_served(window, served(window), profile).rows == 500
    assert answered_rows(window.scan(window.files()[3])).collect().height == 500


def test_a_spread_is_bounded_and_has_the_inputs_own_names(write_log, tmp_path):
    import polars as pl

    window = write_log(rows_of(1_000, seed=1).rename({"age": "input:age"}))
    columns = COLUMNS | {"age": "input:age"}
    version = replace(served(window), columns=columns)
    assert write_spread(window, version, 1_000, 300, tmp_path / "spread.parquet") == 250
    assert pl.read_parquet(tmp_path / "spread.parquet").columns == list(COLUMNS)
