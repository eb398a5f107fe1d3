"""What a person sees of a run: a line for each stage, with live progress on a terminal. Knows nothing of the work."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, Self

from components.stage.process import PROGRESS_FILE


class RunView(Protocol):
    """What a run tells those who watch; called from several threads."""

    def started(self, step: str, call_dir: Path | None = None) -> None:
        """Say that a step began; `call_dir` holds its live progress."""

    def finished(self, step: str, verdict: str, seconds: float) -> None:
        """Say that a step ended."""

    def note(self, text: str) -> None:
        """Say something worth a line."""


class SilentView:
    """Show nothing: for scripts and tests."""

    def started(self, step: str, call_dir: Path | None = None) -> None:
        """Show nothing."""

    def finished(self, step: str, verdict: str, seconds: float) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""


class LineView:
    """Write a line for each step that ended, and for each note on the way: for logs."""

    def __init__(self) -> None:
        """Prepare to follow the steps that go on."""
        self._stops: dict[str, threading.Event] = {}

    def started(self, step: str, call_dir: Path | None = None) -> None:
        """Follow the step's notes; its own line comes when it ends."""
        if call_dir:
            stop = self._stops[step] = threading.Event()
            threading.Thread(target=self._follow, args=(stop, call_dir / PROGRESS_FILE), daemon=True).start()

    def finished(self, step: str, verdict: str, seconds: float) -> None:
        """Write the step, its verdict and its seconds."""
        if stop := self._stops.pop(step, None):
            stop.set()
        self.note(f"{step:40} {verdict:10} {seconds:6.1f} s")

    def note(self, text: str) -> None:
        """Write a line."""
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def _follow(self, stop: threading.Event, path: Path) -> None:
        for event in tail_events(path, stop):
            if event["event"] == "note":
                self.note(event["text"])


class LiveView:
    """Show progress bars on a terminal, and a line for each step that ended above them."""

    def __init__(self) -> None:
        """Prepare the bars; they are drawn between entering and leaving."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (
            *(SpinnerColumn(), TextColumn("{task.description:38}"), BarColumn(bar_width=24)),
            *(TimeElapsedColumn(), TextColumn("{task.fields[detail]}")),
        )
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._bars: dict[str, tuple[Any, threading.Event]] = {}

    def __enter__(self) -> Self:
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop drawing."""
        for _bar, stop in self._bars.values():
            stop.set()
        self._progress.stop()

    def started(self, step: str, call_dir: Path | None = None) -> None:
        """Draw a bar; it moves with the epochs when there is live progress."""
        bar = self._progress.add_task(step, total=None, detail="")
        stop = threading.Event()
        self._bars[step] = (bar, stop)
        if call_dir:
            follower = threading.Thread(target=self._follow, args=(bar, stop, call_dir / PROGRESS_FILE), daemon=True)
            follower.start()

    def finished(self, step: str, verdict: str, seconds: float) -> None:
        """Replace the bar by a line."""
        if entry := self._bars.pop(step, None):
            entry[1].set()
            self._progress.remove_task(entry[0])
        self.note(f"{step:40} {verdict:10} {seconds:6.1f} s")

    def note(self, text: str) -> None:
        """Write a line above the bars."""
        self._progress.console.print(text, markup=False, highlight=False)

    def _follow(self, bar: Any, stop: threading.Event, path: Path) -> None:
        values: dict[str, str] = {}
        for event in tail_events(path, stop):
            if event["event"] == "epoch":
                detail = "  ".join(f"{name} {value}" for name, value in values.items())
                self._progress.update(bar, completed=event["epoch"], total=event["epochs"], detail=detail)
            elif event["event"] == "metric" and event["value"] is not None:
                values[event["name"]] = f"{event['value']:.4g}"
            elif event["event"] == "note":
                self.note(event["text"])


def tail_events(path: Path, stop: threading.Event, interval_s: float = 0.2) -> Iterator[dict[str, Any]]:
    """Yield the events of a live progress file as they are written, until `stop` is set and the file is read."""
    position = 0
    while True:
        ended = stop.wait(interval_s)
        if path.is_file():
            with path.open("rb") as file:
                file.seek(position)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    position += len(line)
                    yield json.loads(line)
        if ended:
            return
