"""Where a report goes: JSON and a page on disk, Prometheus' text, a run in MLflow. Finds nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from components.errors import BadInputError
from components.monitoring.exposition import write_metrics
from components.reports.monitoring import render_monitoring
from components.stage.files import write_json, write_text
from components.types import record
from components.types.monitoring import MonitoringReport
from pipelines.recording import open_tracker
from pipelines.state import REPORTS
from pipelines.watch.reference import MONITORING

_NOT_IN_A_NAME = re.compile(r"[^\w\-. /]")


@dataclass(frozen=True)
class WrittenReport:
    """A report's files."""

    record: Path
    """The report itself, as JSON: the last one of a model and environment."""
    page: Path
    """For people."""
    metrics: Path
    """For Prometheus."""


def write_report(report: MonitoringReport, root: Path = Path()) -> WrittenReport:
    """Write a report's files; readers see the old ones or the new ones."""
    folder = root / MONITORING / report.environment
    written = WrittenReport(
        record=folder / f"{report.model}.json",
        page=root / REPORTS / report.model / f"monitoring-{report.environment}.html",
        metrics=folder / f"{report.model}.prom",
    )
    write_text(written.page, render_monitoring(report))
    write_metrics(report, written.metrics)
    write_json(written.record, report)
    return written


def last_report(model: str, environment: str, root: Path = Path()) -> MonitoringReport | None:
    """Return what the last look at a model's traffic found; None where nobody looked yet.

    Raises:
        BadInputError: the file is damaged.
    """
    path = root / MONITORING / environment / f"{model}.json"
    if not path.is_file():
        return None
    try:
        return record.read(MonitoringReport, path)
    except ValueError as error:
        raise BadInputError(f"{path} cannot be read ({error}); delete it and run `towpath monitor {model}`") from error


def record_report(report: MonitoringReport, written: WrittenReport, root: Path = Path(), flow_run_id: str = "") -> str:
    """Keep a report as a run of the model's experiment in MLflow, and return the run's id.

    Raises:
        InfrastructureError: MLflow cannot be reached.
    """
    from components.tracking.tracker import FLOW_RUN_ID_TAG

    tracker = open_tracker(root)
    tags = {"towpath.state": report.state.value} | ({FLOW_RUN_ID_TAG: flow_run_id} if flow_run_id else {})
    run = tracker.start_monitoring_run(report.model, report.environment, tags=tags)
    tracker.log_metrics(run, _figures(report))
    for path in (written.record, written.page):
        tracker.log_artifact(run, path)
    tracker.finish(run)
    return run


def _figures(report: MonitoringReport) -> dict[str, float]:
    found: dict[str, float | None] = {}
    for arm in report.traffic:
        where = f"v{arm.version}.{arm.role or 'pinned'}"
        found |= {
            f"requests.{where}": arm.requests,
            f"error_rate.{where}": arm.error_rate,
            f"p95_ms.{where}": arm.p95_ms,
        }
    for each in (*report.features, *report.predictions):
        found[f"psi.v{each.version}.{_NOT_IN_A_NAME.sub('_', each.column)}"] = each.psi
    for quality in report.quality:
        found[f"missed_expectations.v{quality.version}"] = len(quality.missed)
    for live in report.live:
        found[f"live.v{live.version}.{live.metric}"] = live.value
    return {name: float(value) for name, value in found.items() if value is not None}
