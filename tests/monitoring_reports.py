"""A look at a model's traffic with one finding of each sort, for whatever shows or keeps one."""

from dataclasses import replace

from components.types.evaluation import Direction
from components.types.monitoring import (
    ColumnDrift,
    Finding,
    FindingKind,
    LiveMetric,
    MissedExpectation,
    Moment,
    MonitoringReport,
    ServedQuality,
    ShareBar,
    Status,
    VersionTraffic,
)


def report(**changes: object) -> MonitoringReport:
    """Return the report, with some of its fields replaced."""
    bars = (ShareBar("Oslo", 0.75, 0.25), ShareBar("<script>alert(1)</script>", 0.25, 0.75))
    made = MonitoringReport(
        model="people",
        environment="production",
        since="2026-11-20T00:00:00+00:00",
        until="2026-11-21T00:00:00+00:00",
        state=Status.ALARM,
        findings=(
            Finding(FindingKind.FEATURE_DRIFT, Status.ALARM, "`city` drifted", 3),
            Finding(FindingKind.LIVE_METRIC, Status.WARN, "auc is lower", 3),
            Finding(FindingKind.LATENCY, Status.INSUFFICIENT, "too few requests", 3),
            Finding(FindingKind.VOLUME, Status.OK, "1,000 requests"),
        ),
        traffic=(VersionTraffic(3, "stable", 1_000, 1_200, 2, 0.0005, 0.007, 2.0, 9.0, None),),
        moments=(Moment("2026-11-20T00:00:00+00:00", 600, 2), Moment("2026-11-20T12:00:00+00:00", 400, 0)),
        features=(
            ColumnDrift(3, "age", Status.INSUFFICIENT, None, 200, 0.05, 0.05, ()),
            ColumnDrift(3, "city", Status.ALARM, 0.5, 1_200, 0.0, 0.1, bars),
        ),
        predictions=(ColumnDrift(3, "prediction", Status.OK, 0.01, 1_200, 0.0, 0.0, bars[:1]),),
        quality=(ServedQuality(3, 1_200, 9, 2, (MissedExpectation("expect_it", ("age",), "critical", "3 values"),)),),
        live=(LiveMetric(3, "auc", 500, 0.87, 0.85, 0.89, 0.91, Direction.HIGHER),),
    )
    return replace(made, **changes)  # type: ignore[arg-type]
