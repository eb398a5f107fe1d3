"""Whoever scrapes one worker sees what all of them did, in a form that Prometheus's own parser takes."""

from dataclasses import replace

import pytest
from prometheus_client.core import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from components.serving import exposition
from components.serving.board import Board
from components.serving.gateway import Gateway
from components.serving.measurements import Measurements, publish_totals, totals_of
from components.serving.model_table import make_table
from components.serving.options import Limits
from components.serving.prediction_log import LogOptions, PredictionLog
from components.serving.rollout_metrics import rollout_families
from tests.release_views import MODEL, canary_report, shadow_report

ONE_ROW = {"inputs": {"x": [1.0]}}


def samples(text):
    """Every sample, found by its name and its labels."""
    return {
        (each.name, frozenset(each.labels.items())): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


def value(found, name, **labels):
    return found[f"towpath_gateway_{name}", frozenset(labels.items())]


@pytest.fixture
def worker(tmp_path, served, only):
    def make(number, predictions=None):
        board = Board(tmp_path / "board", number, 2)
        made = Gateway(Limits(), board=board, predictions=predictions)
        model = served("sum")
        made.stats["sum"] = Measurements()
        model.stats = made.stats["sum"]
        made.table = make_table(7, {"sum": only(model)}, {})
        board.beat(made.revs, made.loaded, {})
        return made

    return make


def scraped(gateway, ask):
    answer = ask(gateway, "GET", "/metrics")
    assert answer.status == 200
    return samples(answer.body.decode())


def test_requests_are_told_apart_by_version_role_and_code(worker, ask):
    gateway = worker(0)
    for _ in range(3):
        ask(gateway, "POST", "/invocations", ONE_ROW)
    ask(gateway, "POST", "/v2/models/sum/versions/3/infer", {"inputs": "wrong"})
    ask(gateway, "GET", "/nowhere")
    found = scraped(gateway, ask)
    assert value(found, "requests_total", model="sum", version="3", role="stable", code="200") == 3
    assert value(found, "requests_total", model="sum", version="3", role="", code="400") == 1
    assert value(found, "requests_total", model="", version="", role="", code="404") == 1
    assert value(found, "request_seconds_count", model="sum", role="stable") == 3
    assert value(found, "request_seconds_bucket", model="sum", role="stable", le="+Inf") == 3
    assert value(found, "rows_total", model="sum") == 3


def test_a_scrape_of_any_worker_shows_all_workers(worker, ask):
    first, second = worker(0), worker(1)
    for gateway, times in ((first, 2), (second, 5)):
        model = gateway.table.models["sum"]
        for _ in range(times):
            gateway.stats["sum"].observe(200, 0.002, model.version, "stable")
        gateway.swaps = times
        publish_totals(gateway)
    for gateway in (first, second):
        found = scraped(gateway, ask)
        assert value(found, "requests_total", model="sum", version="3", role="stable", code="200") == 7
        assert value(found, "request_seconds_bucket", model="sum", role="stable", le="0.0025") == 7
        assert value(found, "request_seconds_sum", model="sum", role="stable") == pytest.approx(0.014)
        assert value(found, "swaps_total") == 7
        assert [value(found, "served_rev", model="sum", worker=str(each)) for each in range(2)] == [7, 7]
        assert value(found, "worker_memory_bytes", worker="0") > 1_000_000
        assert ("process_cpu_seconds_total", frozenset()) not in found


def test_a_single_worker_shows_its_process(gateway, ask):
    found = scraped(gateway("sum"), ask)
    assert found["process_resident_memory_bytes", frozenset()] > 0
    assert value(found, "ready") == 1
    assert value(found, "in_flight") == 0
    assert value(found, "served_sequence") == 7


def test_what_became_of_the_logs_rows_is_counted(worker, ask, tmp_path):
    log = PredictionLog(LogOptions(tmp_path / "log", rows_per_s=2))
    gateway = worker(0, log)
    try:
        for _ in range(5):
            ask(gateway, "POST", "/invocations", ONE_ROW)
    finally:
        log.close()
    found = scraped(gateway, ask)
    rows = {outcome: value(found, "log_rows_total", outcome=outcome) for outcome in ("written", "limited", "dropped")}
    assert rows == {"written": 2, "limited": 3, "dropped": 0}
    assert value(found, "log_files_total") == 1


def test_without_a_log_there_are_no_rows_of_it(worker, ask):
    assert not [name for name, _ in scraped(worker(0), ask) if "_log_" in name]


class _Rollouts(Collector):
    def __init__(self, *reports):
        self.reports = {report.model: report for report in reports}

    def collect(self):
        return rollout_families(self.reports)


def rollouts(*reports):
    registry = CollectorRegistry()
    registry.register(_Rollouts(*reports))
    return samples(exposition.render(registry).decode())


def test_a_canary_has_its_weight_its_evidence_and_its_bad_events():
    found = rollouts(canary_report(breaker="3 of 5 failed", weight=0))
    assert value(found, "canary_weight", model=MODEL, version="8") == 0
    assert value(found, "e_value", model=MODEL, version="8", kind="average") == 3.05
    assert value(found, "e_value", model=MODEL, version="8", kind="slow") == 4.2
    assert value(found, "rollout_stopped", model=MODEL, by="breaker") == 1
    assert value(found, "rollout_stopped", model=MODEL, by="alarm") == 0
    assert value(found, "bad_events", model=MODEL, version="8", role="canary", kind="slow") == 61
    assert value(found, "users", model=MODEL, version="7", role="stable") == 3_180
    assert value(found, "prediction_psi", model=MODEL, version="8") == 0.034
    assert value(found, "split_p_value", model=MODEL, version="8") == 0.41


def test_a_shadow_has_what_was_mirrored_and_what_was_not():
    found = rollouts(shadow_report())
    assert value(found, "mirrored_requests", model=MODEL, version="8") == 5_100
    assert value(found, "mirror_dropped_requests", model=MODEL, version="8") == 110
    assert value(found, "mirror_differing_requests", model=MODEL, version="8") == 40
    assert ("towpath_gateway_canary_weight", frozenset({("model", MODEL), ("version", "8")})) not in found


def test_several_models_and_odd_names_are_kept_apart():
    odd = replace(canary_report(), model='a"b\\c\nd')
    found = rollouts(canary_report(), odd)
    assert value(found, "canary_weight", model='a"b\\c\nd', version="8") == 25
    assert value(found, "canary_weight", model=MODEL, version="8") == 25


def test_nothing_on_its_way_has_no_evidence():
    found = rollouts(canary_report(canary=None, e_values={}, e_value=0.0))
    assert not [name for name, _ in found if name.endswith(("e_value", "canary_weight"))]


def test_figures_of_workers_can_be_added():
    one, other = Measurements(), Measurements()
    one.observe(200, 0.001, "3", "stable")
    one.observe(500, 9.0, "4", "canary")
    other.observe(200, 0.001, "3", "stable")
    figures = [each.figures() for each in (one, other)]
    added = {name: sum(each.get(name, 0) for each in figures) for name in {*figures[0], *figures[1]}}
    assert added["requests|3|stable|200"] == 2
    assert added["requests|4|canary|500"] == 1
    assert sum(count for name, count in added.items() if name.startswith("bucket|")) == 3
    assert added["seconds|canary"] == 9.0


def test_totals_are_plain_numbers(gateway):
    totals = totals_of(gateway("sum"))
    assert all(isinstance(number, int | float) for figures in totals.values() for number in figures.values())
