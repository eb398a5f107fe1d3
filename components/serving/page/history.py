"""Remember how the judge's evidence went, so that a page can draw it. Judges nothing.

One worker writes, whichever holds the lock: a line per look, appended, in one file per model beside the router
snapshot; all workers read it. So it outlasts a restart, and shows the same whichever worker answers. A file that grows
long loses every second point.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from components.serving.page.source import PageSource
from components.stage.files import write_text
from components.types.judging import GatewayStatus, JudgeReport
from components.types.record import dump
from components.types.release import Role

if TYPE_CHECKING:
    from filelock import FileLock

LOOK_S = 1.0
FOLDER = "release-history"
MOST_POINTS = 1_200
_UNCHANGED_S = 60.0
"""Evidence that stays the same is written down again after so long, so that a line goes on to the present."""
_LARGEST = 1e300
"""An e-value may be infinite; JSON knows no such number."""

log = logging.getLogger("towpath.gateway")


@dataclass(frozen=True)
class Point:
    """The evidence about one model at one moment."""

    at_s: float
    """Seconds since 1970."""
    rev: int
    version: int
    """The canary or shadow that is judged."""
    role: str
    weight: int
    """The canary's share in effect, in percent."""
    requests: int
    """Of the canary, or mirrored to the shadow."""
    e_value: float
    e_values: Mapping[str, float]
    """By kind."""


class History:
    """The files; only one process may call `look`."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / FOLDER
        self._kept: dict[str, list[Point]] = {}

    def read(self, model: str) -> tuple[Point, ...]:
        """Return what is known of a model, oldest first; a line that cannot be read is left out."""
        try:
            lines = self._path(model).read_bytes().splitlines()
        except OSError:
            return ()
        return tuple(point for line in lines if (point := _parsed(line)) is not None)

    def look(self, status: GatewayStatus, now_s: float) -> None:
        """Write down the evidence of every rollout in `status`.

        Raises:
            OSError: the folder cannot be written.
        """
        for report in status.reports.values():
            if (point := _point(report, now_s)) is not None:
                self._add(report.model, point)

    def _add(self, model: str, point: Point) -> None:
        kept = self._kept.get(model)
        if kept is None:
            kept = self._kept[model] = list(self.read(model))
            self._rewrite(model, kept)  # a line that was cut off by a crash goes
        if kept and point.at_s - kept[-1].at_s < _UNCHANGED_S and replace(point, at_s=kept[-1].at_s) == kept[-1]:
            return
        kept.append(point)
        if len(kept) > MOST_POINTS:
            kept[:] = thinned(kept)
            self._rewrite(model, kept)
        else:
            with self._path(model).open("ab") as file:
                file.write(_line(point))

    def _rewrite(self, model: str, points: Sequence[Point]) -> None:
        self._folder.mkdir(exist_ok=True)
        write_text(self._path(model), b"".join(map(_line, points)).decode())

    def _path(self, model: str) -> Path:
        return self._folder / f"{os.path.basename(model)}.jsonl"  # noqa: PTH119 - a name, not a path


async def keep_history(source: PageSource, every_s: float = LOOK_S) -> None:
    """Write down the evidence of every rollout until cancelled, while no other worker does."""
    keeper, has_failed = _Keeper(source), False
    try:
        while True:
            await asyncio.sleep(every_s)
            try:
                await asyncio.to_thread(keeper.look)
                has_failed = False
            except Exception as error:  # the page misses a point; the gateway misses nothing
                if not has_failed:
                    log.error("the history of the release page cannot be written: %s", error)
                has_failed = True
    finally:
        keeper.leave()


class _Keeper:
    """Holds the lock once it is free, and looks while it holds it."""

    def __init__(self, source: PageSource) -> None:
        self._source = source
        self._lock: FileLock | None = None
        self._history: History | None = None

    def look(self) -> None:
        if (history := self._history or self._enter()) is not None:
            history.look(self._source.release_status(), time.time())

    def leave(self) -> None:
        if self._lock is not None:
            self._lock.release()

    def _enter(self) -> History | None:
        """Return the history, read anew, if this worker is the one to write it from now on."""
        from filelock import FileLock, Timeout

        folder = self._source.state_dir / FOLDER
        folder.mkdir(exist_ok=True)
        lock = FileLock(folder / ".lock", thread_local=False)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return None
        self._lock, self._history = lock, History(self._source.state_dir)
        return self._history


def thinned(points: Sequence[Point]) -> list[Point]:
    """Return about every second point; the first and last of each revision stay."""
    edges = {0, len(points) - 1}
    for place in range(1, len(points)):
        if points[place].rev != points[place - 1].rev:
            edges |= {place - 1, place}
    return [point for place, point in enumerate(points) if place % 2 == 0 or place in edges]


def _point(report: JudgeReport, now_s: float) -> Point | None:
    values = {kind: _finite(value) for kind, value in sorted(report.e_values.items())}
    if report.canary is not None:
        version, role, requests = report.canary.version, Role.CANARY, report.canary.requests
    elif report.shadow is not None:
        version, role, requests = report.shadow.version, Role.SHADOW, report.shadow.mirrored
    else:
        return None
    e_value = _finite(report.e_value)
    return Point(round(now_s, 1), report.rev, version, role.value, report.weight, requests, e_value, values)


def _finite(value: float) -> float:
    return 0.0 if math.isnan(value) else min(value, _LARGEST)


def _line(point: Point) -> bytes:
    return orjson.dumps(dump(point), option=orjson.OPT_APPEND_NEWLINE)


def _parsed(line: bytes) -> Point | None:
    """Return a line's point; checked by hand, since a page reads a thousand of them while requests are answered."""
    try:
        content = orjson.loads(line)
        point = Point(**content)
        numbers = (point.at_s, point.rev, point.version, point.weight, point.requests, point.e_value)
        if all(isinstance(number, int | float) for number in (*numbers, *point.e_values.values())):
            return replace(point, role=str(point.role))
    except (ValueError, TypeError, AttributeError):
        pass
    return None
