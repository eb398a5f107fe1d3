"""Volume, errors and latency are what the log says; nothing logged is never in order."""

from dataclasses import replace
from datetime import timedelta

import pytest

from components.errors import DigestMismatchError
from components.monitoring.config import MonitoringSection
from components.monitoring.drift import no_reference
from components.monitoring.findings import (
    error_findings,
    latency_findings,
    live_finding,
    quality_finding,
    volume_finding,
)
from components.monitoring.traffic import PARTS, read_traffic, share_interval
from components.types.evaluation import Direction
from components.types.monitoring import (
    FindingKind,
    LiveMetric,
    MissedExpectation,
    ServedQuality,
    Status,
    VersionTraffic,
    worst,
)
from tests.unit.monitoring.conftest import NOON, rows_of

SECTION = MonitoringSection()
ARM = VersionTraffic(3, "stable", 1_000, 1_000, 0, 0.0, 0.004, 2.0, 9.0, 20.0)


def test_each_version_and_role_has_its_own_figures(write_log):
    write_log(rows_of(200), status=[200] * 190 + [500] * 10)
    write_log(rows_of(100, 1), version=4, role="canary", begin=NOON + timedelta(hours=1))
    window = write_log(rows_of(50, 2), version=4, role="shadow", begin=NOON + timedelta(hours=1))
    traffic, moments = read_traffic(window)
    assert [(each.version, each.role, each.requests, each.errors) for each in traffic] == [
        (3, "stable", 200, 10), (4, "canary", 100, 0), (4, "shadow", 50, 0),
    ]  # fmt: skip
    assert len(moments) == PARTS
    assert [(each.requests, each.errors) for each in moments if each.requests] == [(200, 10), (100, 0)]
    assert moments[PARTS // 2].start == NOON.isoformat()


def test_a_request_of_many_rows_is_one_request(write_log):
    window = write_log(rows_of(6), row=[0, 1, 2, 0, 1, 2], status=[200, 200, 200, 500, 500, 500])
    (found,), _ = read_traffic(window)
    assert (found.requests, found.rows, found.errors) == (2, 6, 1)


def test_latency_is_counted_by_request(write_log):
    (found,), _ = read_traffic(write_log(rows_of(1_000)))
    assert found.p50_ms == pytest.approx(50, abs=1)
    assert found.p95_ms == pytest.approx(95, abs=1)
    assert found.p99_ms == pytest.approx(99, abs=1)


def test_rows_outside_of_the_window_do_not_count(write_log):
    write_log(rows_of(100), begin=NOON - timedelta(days=3))
    write_log(rows_of(100), begin=NOON - timedelta(hours=13))
    window = write_log(rows_of(100))
    (found,), _ = read_traffic(window)
    assert found.requests == 100
    (found,), _ = read_traffic(replace(window, since=NOON + timedelta(milliseconds=60)))
    assert found.requests == 40


def test_nothing_logged_is_an_alarm_unless_the_model_may_be_silent(tmp_path, write_log):
    window = replace(write_log(rows_of(10)), model="nobody")
    assert read_traffic(window) == ((), ())
    silent = volume_finding((), SECTION, "noon")
    assert (silent.status, "0 requests" in silent.sentence) == (Status.ALARM, True)
    allowed = volume_finding((), MonitoringSection(min_requests=0), "noon")
    assert allowed.status is Status.INSUFFICIENT
    assert volume_finding((ARM,), SECTION, "noon").status is Status.OK
    assert volume_finding((replace(ARM, role="shadow"),), SECTION, "noon").status is Status.ALARM
    assert worst(()) is Status.INSUFFICIENT


def test_silence_where_no_gateway_ever_ran_is_no_alarm_and_not_in_order():
    found = volume_finding((), SECTION, "noon", is_served=False)
    assert found.status is Status.INSUFFICIENT
    assert "no gateway has run there yet" in found.sentence
    assert volume_finding((ARM,), MonitoringSection(min_requests=5_000), "noon", is_served=False).status is Status.ALARM


def test_an_alarm_about_volume_says_that_young_files_of_the_log_are_not_seen_yet():
    assert "younger than a file of the log (`target.log_file_s`" in volume_finding((), SECTION, "noon").sentence


def test_what_is_insufficient_is_called_so_once():
    few = replace(ARM, requests=9)
    (latency,) = latency_findings([few], SECTION)
    quality = quality_finding(ServedQuality(3, 12, 0, 0, ()), SECTION)
    live = live_finding(LiveMetric(3, "auc", 9, None, None, None, None, Direction.HIGHER), None, SECTION)
    drift = no_reference(FindingKind.FEATURE_DRIFT, 3, "version 3 served no row in the window")
    for found in (latency, quality, live, drift):
        assert found.status is Status.INSUFFICIENT
        assert "insufficient" not in found.sentence


def test_a_file_that_is_no_parquet_is_named(write_log, tmp_path):
    window = write_log(rows_of(10))
    (path,) = window.files()[3]
    path.write_bytes(b"PAR1 no more PAR1")
    with pytest.raises(DigestMismatchError, match="move it away"):
        read_traffic(window)


def test_the_interval_of_a_share_is_wilsons():
    low, high = share_interval(10, 100)
    assert (low, high) == pytest.approx((0.0552, 0.1744), abs=1e-4)  # E. B. Wilson's formula by hand
    assert share_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("errors", "low", "status"),
    [(10, 0.005, Status.OK), (15, 0.009, Status.WARN), (50, 0.038, Status.ALARM)],
)
def test_errors_are_alarming_once_chance_cannot_be_it(errors, low, status):
    (found,) = error_findings([replace(ARM, errors=errors, error_low=low)], SECTION)
    assert found.status is status
    assert f"{errors} of 1,000" in found.sentence


def test_what_users_never_met_is_not_judged_and_a_bound_can_be_switched_off():
    shadow = replace(ARM, role="shadow", errors=1_000, error_low=0.9, p95_ms=9_000.0)
    assert not list(error_findings([shadow], SECTION))
    assert not list(latency_findings([shadow], SECTION))
    off = MonitoringSection(max_error_rate=None, max_p95_ms=None)
    assert not list(error_findings([ARM], off))
    assert not list(latency_findings([ARM], off))


@pytest.mark.parametrize(
    ("requests", "p95_ms", "status"),
    [(1_000, 99.0, Status.OK), (1_000, 101.0, Status.ALARM), (99, 5_000.0, Status.INSUFFICIENT)],
)
def test_latency_is_judged_from_a_hundred_requests_on(requests, p95_ms, status):
    (found,) = latency_findings([replace(ARM, requests=requests, p95_ms=p95_ms)], SECTION)
    assert found.status is status


@pytest.mark.parametrize(
    ("rows", "applied", "severities", "status"),
    [
        (1_000, 9, (), Status.OK),
        (1_000, 9, ("warning",), Status.WARN),
        (1_000, 9, ("warning", "critical"), Status.ALARM),
        (299, 9, ("critical",), Status.INSUFFICIENT),
        (1_000, 0, (), Status.INSUFFICIENT),
    ],
)
def test_quality_is_as_bad_as_the_worst_expectation_that_is_not_met(rows, applied, severities, status):
    missed = tuple(MissedExpectation("expect_it", ("age",), each, "3 of 9 values") for each in severities)
    found = quality_finding(ServedQuality(3, rows, applied, 2, missed), SECTION)
    assert found.status is status
    if missed and rows > 299:
        assert "expect_it(age): 3 of 9 values" in found.sentence


@pytest.mark.parametrize(
    ("value", "low", "high", "direction", "status"),
    [
        (0.88, 0.86, 0.90, Direction.HIGHER, Status.OK),
        (0.84, 0.80, 0.88, Direction.HIGHER, Status.WARN),
        (0.70, 0.65, 0.75, Direction.HIGHER, Status.ALARM),
        (0.92, 0.90, 0.94, Direction.LOWER, Status.OK),
        (0.96, 0.92, 1.00, Direction.LOWER, Status.WARN),
        (1.20, 1.10, 1.30, Direction.LOWER, Status.ALARM),
        (None, None, None, Direction.HIGHER, Status.INSUFFICIENT),
    ],
)
def test_a_live_metric_is_held_against_the_test_split_in_its_own_direction(value, low, high, direction, status):
    live = LiveMetric(3, "auc", 500, value, low, high, 0.9, direction)
    assert live_finding(live, 0.05, SECTION).status is status


def test_a_live_metric_without_a_promise_is_not_in_order():
    live = LiveMetric(3, "auc", 500, 0.9, 0.88, 0.92, None, Direction.HIGHER)
    assert live_finding(live, None, SECTION).status is Status.INSUFFICIENT


@pytest.mark.parametrize("window", ["1 h", "90", "0h", "h", "1w"])
def test_a_window_is_a_number_and_a_unit(window):
    with pytest.raises(ValueError, match="window"):
        MonitoringSection(window=window)


def test_a_warning_above_the_alarm_and_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="psi_warning is 0.3"):
        MonitoringSection(psi_warning=0.3)
    with pytest.raises(ValueError, match="min_rows"):
        MonitoringSection(min_rows=299)
