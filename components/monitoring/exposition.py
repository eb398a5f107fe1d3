"""A report as Prometheus text, for node_exporter's textfile collector or any server of files. Judges nothing."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from components.types.monitoring import FindingKind, MonitoringReport, Status, worst

_MS = 1_000.0
_PREFIX = "towpath_monitoring_"


def write_metrics(report: MonitoringReport, path: Path) -> None:
    """Write the report's figures; a reader sees the old file or the new one."""
    registry = CollectorRegistry()
    made = _Gauges(registry, report)
    made.put("last_look_timestamp_seconds", "End of the window that was looked at last", _seconds(report.until))
    length_s = _seconds(report.until) - _seconds(report.since)
    made.put("window_seconds", "Length of the window that was looked at", length_s)
    for state in Status:
        made.put("state", "1 for the worst finding's status", float(report.state is state), status=state.value)
    _findings(made, report)
    _traffic(made, report)
    _rows(made, report)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_to_textfile(str(path), registry)


class _Gauges:
    def __init__(self, registry: CollectorRegistry, report: MonitoringReport) -> None:
        self._registry = registry
        self._gauges: dict[str, Gauge] = {}
        self._about = {"model": report.model, "environment": report.environment}

    def put(self, name: str, about: str, value: float | None, **labels: str) -> None:
        """Set one gauge; what is not known has none."""
        if value is None:
            return
        if name not in self._gauges:
            names = [*self._about, *labels]
            self._gauges[name] = Gauge(f"{_PREFIX}{name}", about, names, registry=self._registry)
        self._gauges[name].labels(**self._about, **labels).set(value)


def _findings(made: _Gauges, report: MonitoringReport) -> None:
    versions: dict[tuple[FindingKind, str], list[Status]] = {}
    for each in report.findings:
        version = "" if each.version is None else str(each.version)
        versions.setdefault((each.kind, version), []).append(each.status)
    for (kind, version), statuses in versions.items():
        state = worst(statuses)
        for status in Status:
            labels = {"kind": kind.value, "version": version, "status": status.value}
            made.put("finding", "1 for what was found, 0 for what was not", float(status is state), **labels)


def _traffic(made: _Gauges, report: MonitoringReport) -> None:
    for each in report.traffic:
        arm = {"version": str(each.version), "role": each.role}
        made.put("requests", "Logged requests in the window", each.requests, **arm)
        made.put("rows", "Logged rows in the window", each.rows, **arm)
        made.put("failed_requests", "Logged requests that the version failed", each.errors, **arm)
        for quantile, value in (("0.5", each.p50_ms), ("0.95", each.p95_ms), ("0.99", each.p99_ms)):
            seconds = None if value is None else value / _MS
            made.put("latency_seconds", "Latency of the window's requests", seconds, **arm, quantile=quantile)


def _rows(made: _Gauges, report: MonitoringReport) -> None:
    for feature in report.features:
        labels = {"version": str(feature.version), "feature": feature.column}
        made.put("feature_psi", "Stability index of a feature against its training rows", feature.psi, **labels)
    for found in report.predictions:
        about = "Stability index of the predictions against those at the end of training"
        made.put("prediction_psi", about, found.psi, version=str(found.version))
    for quality in report.quality:
        about = "Expectations of the suite that served rows do not meet"
        made.put("missed_expectations", about, len(quality.missed), version=str(quality.version))
    for live in report.live:
        version = str(live.version)
        made.put("labels", "Predictions whose labels have come in", live.labels, version=version)
        values = {"value": live.value, "low": live.low, "high": live.high, "test": live.reference}
        for bound, value in values.items():
            labels = {"version": version, "metric": live.metric, "bound": bound}
            made.put("live_metric", "Metric of labelled predictions, with its 95 % interval", value, **labels)


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
