"""Render a comparison of training with serving as a self-contained page. Writes no file, judges nothing."""

from __future__ import annotations

from dataclasses import dataclass

from components.reports.pages import template
from components.reports.pictures import bars
from components.types.tfx import FeatureSkew, SkewReport


@dataclass(frozen=True)
class SkewPage:
    """All that the page shows."""

    model: str
    environment: str
    version: int
    digest: str
    report: SkewReport


def render_skew(page: SkewPage) -> str:
    """Return the page; the same comparison gives the same text. Columns that are skewed come first."""
    from markupsafe import Markup

    ordered = sorted(page.report.features, key=lambda each: each.passed)
    return template("skew.html.j2").render(
        page=page,
        report=page.report,
        features=[(each, Markup(_picture(each))) for each in ordered],  # noqa: S704 - our own SVG, its texts escaped
    )


def _picture(found: FeatureSkew) -> str:
    return bars(
        f"{found.feature}: training and serving",
        [each.label for each in found.bars],
        [each.training for each in found.bars],
        [each.serving for each in found.bars],
        as_share=True,
    )
