"""Render a look at a model's traffic as a self-contained page. Writes no file, judges nothing."""

from __future__ import annotations

from components.reports.pages import template
from components.reports.pictures import bars
from components.types.monitoring import ColumnDrift, MonitoringReport, Status

_BADGES = {Status.OK: "passed", Status.INSUFFICIENT: "not", Status.WARN: "warned", Status.ALARM: "refused"}


def render_monitoring(report: MonitoringReport) -> str:
    """Return the page; the same report gives the same text. What drifted most comes first."""
    from markupsafe import Markup

    def drawn(columns: tuple[ColumnDrift, ...]) -> list[tuple[ColumnDrift, Markup]]:
        ordered = sorted(columns, key=lambda each: (each.version, -(each.psi if each.psi is not None else -1.0)))
        return [(each, Markup(_picture(each))) for each in ordered]  # noqa: S704 - our own SVG, its texts escaped

    return template("monitoring.html.j2").render(
        report=report,
        badges={status.value: badge for status, badge in _BADGES.items()},
        state=report.state.value,
        volume=Markup(_volume(report)),  # noqa: S704 - our own SVG, its texts escaped
        features=drawn(report.features),
        predictions=drawn(report.predictions),
    )


def _picture(found: ColumnDrift) -> str:
    return bars(
        f"{found.column}: training and serving",
        [each.label for each in found.bars],
        [each.training for each in found.bars],
        [each.serving for each in found.bars],
        as_share=True,
    )


def _volume(report: MonitoringReport) -> str:
    return bars(
        "requests and failed requests over the window",
        [each.start for each in report.moments],
        [each.requests for each in report.moments],
        [each.errors for each in report.moments],
    )
