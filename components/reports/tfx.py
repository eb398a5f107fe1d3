"""Render what a TFX training found as a self-contained page. Reads no file, judges nothing."""

from __future__ import annotations

from dataclasses import dataclass

from components.reports.pages import template
from components.reports.pictures import bars
from components.types.tfx import (
    RATE_METRICS,
    AnalysisSlice,
    Anomalies,
    DataStatistics,
    FeatureStatistics,
    Lineage,
    ModelAnalysis,
)

_MAX_SLICES = 100


@dataclass(frozen=True)
class TfxPage:
    """All that the page shows."""

    training: str
    statistics: DataStatistics
    anomalies: Anomalies
    analysis: ModelAnalysis
    lineage: Lineage


def render_tfx(page: TfxPage) -> str:
    """Return the page; the same records give the same text."""
    return template("tfx.html.j2").render(
        page=page,
        analysis=page.analysis,
        primary=page.analysis.metrics[0],
        slices=[(each, _share(each.metrics.get(page.analysis.metrics[0]))) for each in _shown(page.analysis)],
        hidden=max(len(page.analysis.slices) - _MAX_SLICES, 0),
        is_rate=page.analysis.metrics[0] in RATE_METRICS,
        columns=_columns(page.statistics),
        types={each.id: each.type for each in page.lineage.artifacts},
    )


def _shown(analysis: ModelAnalysis) -> list[AnalysisSlice]:
    return list(analysis.slices[:_MAX_SLICES])


def _share(value: float | None) -> float | None:
    """Return where a rate lies on a scale of 0 to 100."""
    return None if value is None or not 0 <= value <= 1 else round(100 * value, 2)


def _columns(statistics: DataStatistics) -> list[tuple[str, list[tuple[str, FeatureStatistics, object]]]]:
    """Return each column with what every split says of it, in the order of the first split."""
    from markupsafe import Markup

    by_split = {each.split: {found.name: found for found in each.features} for each in statistics.splits}
    names = dict.fromkeys(name for features in by_split.values() for name in features)
    return [
        (
            name,
            [
                (split, features[name], Markup(_picture(features[name])))  # noqa: S704 - our own SVG, its texts escaped
                for split, features in by_split.items()
                if name in features
            ],
        )
        for name in names
    ]


def _picture(found: FeatureStatistics) -> str:
    if found.histogram:
        labels = [f"{each.low:.4g} to {each.high:.4g}" for each in found.histogram]
        return bars(found.name, labels, [each.count for each in found.histogram])
    labels = [each.value for each in found.top_values]
    return bars(found.name, labels, [each.count for each in found.top_values])
