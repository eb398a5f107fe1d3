"""Prometheus reads what a look found, and what is not known has no figure."""

from prometheus_client.parser import text_string_to_metric_families

from components.monitoring.exposition import write_metrics
from tests.monitoring_reports import report


def samples(path):
    families = text_string_to_metric_families(path.read_text())
    return {(each.name, *sorted(each.labels.items())): each.value for family in families for each in family.samples}


def where(**labels):
    return tuple(sorted({"model": "people", "environment": "production", **labels}.items()))


def test_every_figure_has_its_labels(tmp_path):
    write_metrics(report(), tmp_path / "new" / "people.prom")
    found = samples(tmp_path / "new" / "people.prom")
    assert found["towpath_monitoring_window_seconds", *where()] == 86_400
    assert found["towpath_monitoring_state", *where(status="alarm")] == 1
    assert found["towpath_monitoring_state", *where(status="ok")] == 0
    assert found["towpath_monitoring_requests", *where(version="3", role="stable")] == 1_000
    assert found["towpath_monitoring_failed_requests", *where(version="3", role="stable")] == 2
    assert found["towpath_monitoring_latency_seconds", *where(version="3", role="stable", quantile="0.95")] == 0.009
    assert found["towpath_monitoring_feature_psi", *where(version="3", feature="city")] == 0.5
    assert found["towpath_monitoring_prediction_psi", *where(version="3")] == 0.01
    assert found["towpath_monitoring_missed_expectations", *where(version="3")] == 1
    assert found["towpath_monitoring_live_metric", *where(version="3", metric="auc", bound="low")] == 0.85
    drift = {"kind": "feature_drift", "version": "3"}
    assert found["towpath_monitoring_finding", *where(status="alarm", **drift)] == 1
    assert found["towpath_monitoring_finding", *where(status="ok", **drift)] == 0


def test_what_is_not_known_has_no_figure(tmp_path):
    write_metrics(report(), tmp_path / "people.prom")
    assert not [name for name in samples(tmp_path / "people.prom") if ("feature", "age") in name]


def test_a_second_look_replaces_the_first(tmp_path):
    write_metrics(report(), tmp_path / "people.prom")
    before = (tmp_path / "people.prom").read_text()
    write_metrics(report(), tmp_path / "people.prom")
    assert (tmp_path / "people.prom").read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["people.prom"]
