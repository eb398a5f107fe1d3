"""A stream of metrics: a file that is part of the stage's output, and a live one that is not. Standard library only."""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from components.stage.process import PROGRESS_FILE, call_file


def note(text: str) -> None:
    """Say something a person who watches the stage would want to know, outside any stream of metrics."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
    if live := call_file(PROGRESS_FILE):
        with live.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"event": "note", "text": text, "time": time.time()}) + "\n")


class MetricsStream:
    """Write metrics as JSON lines to ``path`` (no times: the bytes depend on the training alone) and to the live file.

    Live lines are ``{"event": "metric", "step", "name", "value", "time"}``, ``{"event": "epoch", "epoch", "epochs",
    "time"}`` and ``{"event": "note", "text", "time"}``; ``path`` holds ``{"step", "name", "value"}``.
    """

    def __init__(self, path: Path, *, append: bool = False) -> None:
        """Open the stream; `append` continues the lines that are there (a resumed training)."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stored = path.open("a" if append else "w", encoding="utf-8")
        live = call_file(PROGRESS_FILE)
        self._live = live.open("a", encoding="utf-8") if live else None

    def metric(self, step: int, name: str, value: float) -> None:
        """Record one value; one that is not finite is recorded as null (JSON has no NaN)."""
        stored = {"step": step, "name": name, "value": value if math.isfinite(value) else None}
        self._stored.write(json.dumps(stored) + "\n")
        self._stored.flush()
        self._emit({"event": "metric", **stored})

    def epoch(self, epoch: int, epochs: int) -> None:
        """Say that `epoch` of `epochs` is done."""
        self._emit({"event": "epoch", "epoch": epoch, "epochs": epochs})

    def note(self, text: str) -> None:
        """Say something a person who watches would want to know."""
        self._emit({"event": "note", "text": text})

    def close(self) -> None:
        """Close both files."""
        self._stored.close()
        if self._live:
            self._live.close()

    def __enter__(self) -> Self:
        """Return the stream."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the stream."""
        self.close()

    def _emit(self, event: dict[str, Any]) -> None:
        if self._live:
            self._live.write(json.dumps({**event, "time": time.time()}) + "\n")
            self._live.flush()
