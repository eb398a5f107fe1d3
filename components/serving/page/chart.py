"""Where the lines of the evidence chart go, in percent of its box. Knows nothing of HTML or of colours.

No chart library: pygal took 0.3 s to import and 340 kB for two lines of 600 points, with fixed colours and a script;
matplotlib 0.9 s and 40 MB. A handful of polylines follows the reader's dark or light scheme and stays sharp.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from components.serving.page.history import Point

TOTAL = "average"
"""The name of the line that decides: the e-values averaged over kinds and steps."""
_LOWEST, _LEAST_TOP = -2, 3
"""In powers of ten: below 0.01 nothing is worth a look, and the threshold (100) is never at the very top."""
_HIGHEST = 12
_MOST_POINTS = 400
_LABEL_APART = 14.0
_EDGE = 4.0
"""A time so close to the edge would run into the other axis."""
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis, in percent from the left or top."""

    at: float
    label: str


@dataclass(frozen=True)
class Line:
    """One kind's e-value over time."""

    kind: str
    parts: tuple[str, ...]
    """The ``points`` of one polyline per revision, in percent: evidence starts anew with each."""
    end: tuple[float, float]
    latest: float


@dataclass(frozen=True)
class Chart:
    """All that a template needs to draw one."""

    version: int
    lines: tuple[Line, ...]
    """The kinds in order, `TOTAL` last, so that it is drawn on top."""
    threshold: float
    threshold_at: float
    rows: tuple[Tick, ...]
    columns: tuple[Tick, ...]
    steps: tuple[Tick, ...]
    """Where a revision began: ``shadow``, ``canary 5 %``."""
    began: str
    ended: str


def make_chart(points: Sequence[Point], threshold: float) -> Chart | None:
    """Return the chart of the version that was judged last, or None while there is nothing to draw."""
    shown = [point for point in points if point.version == points[-1].version]
    if len(shown) < 2 or shown[-1].at_s <= shown[0].at_s:
        return None
    shown = _spread(shown)
    box = _Box(shown, threshold)
    kinds = sorted({kind for point in shown for kind in point.e_values})
    lines = [_line(kind, [(p, p.e_values[kind]) for p in shown if kind in p.e_values], box) for kind in kinds]
    lines.append(_line(TOTAL, [(p, p.e_value) for p in shown], box))
    rows = tuple(Tick(box.y(10.0**power), _power(power)) for power in range(_LOWEST, box.top + 1) if box.shows(power))
    return Chart(
        version=shown[-1].version,
        lines=tuple(lines),
        threshold=threshold,
        threshold_at=box.y(threshold),
        rows=rows,
        columns=tuple(box.columns()),
        steps=tuple(_steps(shown, box)),
        began=_clock(shown[0].at_s, "%Y-%m-%d %H:%M:%S"),
        ended=_clock(shown[-1].at_s, "%Y-%m-%d %H:%M:%S"),
    )


class _Box:
    def __init__(self, points: Sequence[Point], threshold: float) -> None:
        highest = max(max([p.e_value, *p.e_values.values()]) for p in points)
        self.top = min(_HIGHEST, max(_LEAST_TOP, math.ceil(math.log10(max(highest, threshold, 1.0)) + 0.2)))
        self._from_s, self._to_s = points[0].at_s, points[-1].at_s

    def x(self, at_s: float) -> float:
        return round(100 * (at_s - self._from_s) / (self._to_s - self._from_s), 2)

    def y(self, value: float) -> float:
        power = math.log10(value) if value > 0 else _LOWEST
        within = min(max(power, _LOWEST), self.top)
        return round(100 * (self.top - within) / (self.top - _LOWEST), 2)

    def shows(self, power: int) -> bool:
        return self.top <= 6 or power % 2 == 0

    def columns(self) -> Iterable[Tick]:
        span_s = self._to_s - self._from_s
        step_s = next((step for step in _STEPS_S if span_s / step <= 5), 86400 * math.ceil(span_s / 5 / 86400))
        form = "%H:%M:%S" if step_s < 60 else "%H:%M" if step_s < 43200 else "%d %b"
        at_s = math.ceil(self._from_s / step_s) * step_s
        while at_s <= self._to_s:
            if _EDGE <= self.x(at_s) <= 100 - _EDGE:
                yield Tick(self.x(at_s), _clock(at_s, form))
            at_s += step_s


def _line(kind: str, values: Sequence[tuple[Point, float]], box: _Box) -> Line:
    parts: list[list[str]] = []
    rev = None
    for point, value in values:
        if point.rev != rev:
            parts.append([])
            rev = point.rev
        parts[-1].append(f"{box.x(point.at_s):g},{box.y(value):g}")
    last, latest = values[-1]
    return Line(kind, tuple(" ".join(part) for part in parts), (box.x(last.at_s), box.y(latest)), latest)


def _steps(points: Sequence[Point], box: _Box) -> Iterable[Tick]:
    """Yield where a revision or a weight began; a label too close to the one before is left out, its line stays."""
    before, labelled = None, -_LABEL_APART
    for point in points:
        now = (point.rev, point.role, point.weight)
        if now != before:
            at = box.x(point.at_s)
            share = f" {point.weight} %" if point.weight else " stopped"
            label = point.role + share if point.role == "canary" else point.role
            is_far = at - labelled >= _LABEL_APART and at <= 100 - _LABEL_APART
            yield Tick(at, label if is_far else "")
            labelled = at if is_far else labelled
        before = now


def _spread(points: Sequence[Point]) -> list[Point]:
    """Return at most `_MOST_POINTS` of them, the last one included."""
    step = -(-len(points) // _MOST_POINTS)
    return [*points[:-1][::step], points[-1]]


def _power(power: int) -> str:
    return f"{10.0**power:g}" if power <= 3 else f"10{str(power).translate(str.maketrans('0123456789', '⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def _clock(at_s: float, form: str) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime(form)
