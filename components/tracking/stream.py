"""From a file of metrics to MLflow, in batches: a stored one at once, a live one while it grows.

The formats are those of `components.stage.progress`. Knows nothing of which run it is for.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from components.errors import TowpathError

Listener = Callable[[Mapping[str, Any]], None]
"""Called with every event of a live stream (metric, epoch, note), for a progress bar."""


@dataclass(frozen=True)
class Point:
    """One value of one metric."""

    name: str
    step: int
    value: float
    time_s: float
    """Seconds since the epoch."""


Send = Callable[[Sequence[Point]], None]
"""Logs points; sending the same twice must change nothing."""


def read_stored(path: Path, time_s: float) -> list[Point]:
    """Return the points of a stored stream; it holds no times, so all are given one."""
    with path.open(encoding="utf-8") as lines:
        return [_point({**json.loads(line), "time": time_s}) for line in lines if line.strip()]


class Follower:
    """A thread that sends what a live stream gains, a batch every `interval_s` seconds.

    A server that fails meanwhile does not disturb the training: the points are kept and sent with the next batch;
    what cannot be sent at the end either is raised by `stop`.
    """

    def __init__(self, path: Path, send: Send, listener: Listener | None = None, interval_s: float = 1.0) -> None:
        """Start following; the file need not exist yet."""
        self._path, self._send, self._listener, self._interval_s = path, send, listener, interval_s
        self._offset = 0
        self._unsent: list[Point] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"follow {path.parent.name}")
        self._thread.start()

    def stop(self) -> None:
        """Send what is left, and end.

        Raises:
            InfrastructureError: the server does not take the last points.
        """
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join()
        self._read()
        self._flush()

    def __enter__(self) -> Self:
        """Return the follower."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; an error of the training outranks one of the server."""
        try:
            self.stop()
        except TowpathError:
            if error is None:
                raise

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            self._read()
            try:
                self._flush()
            except TowpathError:
                continue

    def _read(self) -> None:
        """Take in the whole lines that were added; a line still being written is left for the next time."""
        if not self._path.is_file():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            added = file.read()
        whole = added[: added.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            event = json.loads(line)
            point = _point(event) if event["event"] == "metric" else None
        except (ValueError, KeyError, TypeError):
            return  # a line that a dying process tore; what it stored is in the stage's own output
        if point is not None:
            self._unsent.append(point)
        if self._listener is not None:
            self._listener(event)

    def _flush(self) -> None:
        if self._unsent:
            self._send(self._unsent)
            self._unsent = []


def _point(line: Mapping[str, Any]) -> Point:
    value = math.nan if line["value"] is None else float(line["value"])
    return Point(str(line["name"]), int(line["step"]), value, float(line["time"]))
