"""Bars as inline SVG: no script, no style sheet of another place, no reference. Knows nothing of what is counted."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 240, 64
"""In the units of the picture; it is as wide as its place."""
_ENTRIES = ("one", "two")


def bars(title: str, labels: Sequence[str], *series: Sequence[float], as_share: bool = False) -> str:
    """Return bars from left to right as an SVG element, for one or two series side by side.

    Args:
        title: Read aloud for the picture.
        labels: One per bar, shown with its value when the mouse rests on it.
        series: The heights.
        as_share: Show values as percentages.
    """
    highest = max((value for each in series for value in each), default=0.0)
    if not labels or highest <= 0:
        return ""
    slot = WIDTH / len(labels)
    width = max(slot * 0.9 / len(series), 0.8)
    drawn = [
        _bar(place * slot + number * width, width, HEIGHT * value / highest, _ENTRIES[number], f"{label}: {shown}")
        for number, each in enumerate(series)
        for place, (label, value) in enumerate(zip(labels, each, strict=True))
        for shown in [f"{value:.1%}" if as_share else f"{value:,.0f}"]
    ]
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img">'
    return f"{head}<title>{escape(title)}</title>{''.join(drawn)}</svg>"


def _bar(left: float, width: float, tall: float, entry: str, label: str) -> str:
    shown = max(tall, 1.0) if tall else 0.0
    return (
        f'<rect class="{entry}" x="{left:.2f}" y="{HEIGHT - shown:.2f}" width="{width:.2f}" height="{shown:.2f}">'
        f"<title>{escape(label)}</title></rect>"
    )
