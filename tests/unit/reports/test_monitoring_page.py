"""The page about traffic needs nothing else, says what was found, and is never green without data."""

from components.reports.monitoring import render_monitoring
from components.types import record
from components.types.monitoring import Finding, FindingKind, MonitoringReport, Status
from tests.monitoring_reports import report
from tests.page import Page


def test_the_page_is_whole_loads_nothing_and_runs_nothing():
    page = Page(render_monitoring(report()))
    assert not page.loads
    assert "script" not in page.tags
    assert not page.open


def test_findings_traffic_drift_and_the_live_metric_are_there():
    text = render_monitoring(report())
    shown = " ".join(" ".join(Page(text).text).split())
    assert "people in production alarm" in shown
    assert "`city` drifted" in shown
    assert "1,200" in shown
    assert "PSI 0.5" in shown
    assert "0.85 to 0.89" in shown
    assert "expect_it" in shown
    assert 'class="badge refused">alarm' in text
    assert 'class="badge not">insufficient' in text
    assert text.index("<h3>city") < text.index("<h3>age")
    assert text.count("<svg") == 3


def test_without_data_the_page_says_so_and_is_not_green():
    silent = Finding(FindingKind.VOLUME, Status.INSUFFICIENT, "0 requests were logged")
    empty = report(
        state=Status.INSUFFICIENT,
        findings=(silent,),
        traffic=(),
        moments=(),
        features=(),
        predictions=(),
        quality=(),
        live=(),
    )
    text = render_monitoring(empty)
    assert "No data." in text
    assert 'class="badge passed"' not in text


def test_a_report_crosses_a_file_unchanged():
    assert record.load(MonitoringReport, record.dump(report())) == report()
