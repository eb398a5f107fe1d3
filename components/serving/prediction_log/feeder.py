"""The thread that hands entries to the process that writes them. Knows nothing of requests, nor of files.

It shares the interpreter with the event loop, so it does next to nothing: entries come packed. A process that dies is
replaced; one that hangs is waited for while the queue fills, overflows and is counted.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from components.serving.prediction_log.counts import LogCounts
from components.serving.prediction_log.frames import Packed, frame
from components.serving.prediction_log.options import LogOptions
from components.serving.prediction_log.process import WriterProcess

_LOOK_S = 0.25
_AT_ONCE = 512
"""Most entries of a frame: to make it takes about 0.1 ms, and that long a request may wait for the interpreter."""
_AT_ONCE_BYTES = 524_288
_STEADY_S = 60.0
"""A process that lived so long had no trouble starting."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0
"""Until the first that died young is replaced, and, doubled each time, any later one."""

log = logging.getLogger("towpath.gateway")


class Feeder:
    """Take entries from a queue and see that some process writes them."""

    def __init__(self, options: LogOptions, worker: int, entries: deque[Packed], facts: list[Any]) -> None:
        """Take the options, whose log it is, the queue, and what there is to know of the versions in it."""
        self.counts = LogCounts()
        """Of all processes so far, as they said last, and of what is lost on the way; replaced, never changed."""
        self.taken_rows = self.taken_bytes = 0
        """What was ever taken from the queue; the event loop only reads it."""
        self._options = options
        self._worker = worker
        self._entries = entries
        self._stopping = threading.Event()
        self._stop_by_s = 0.0
        self._process: WriterProcess | None = None
        self._facts = facts
        self._told_facts = 0
        self._handed_rows = 0
        """Rows that this process was given, in whole or in part."""
        self._past = LogCounts()
        self._deaths = 0
        self._start_at_s = 0.0

    @property
    def pid(self) -> int | None:
        """The number of the process that writes; None while there is none."""
        process = self._process
        return None if process is None else process.pid

    def stop(self, time_s: float) -> None:
        """Ask the thread to have everything written within `time_s`, and end."""
        self._stop_by_s = time.monotonic() + time_s
        self._stopping.set()

    def run(self) -> None:
        """Feed until stopped; the process starts a moment later, when the gateway has done so itself."""
        while not self._stopping.wait(_LOOK_S):
            self._guarded(self._look)
        self._guarded(self._finish)
        self._count_rest()

    def _guarded(self, step: Callable[[], None]) -> None:
        """Take a step; what nobody foresaw costs the process that writes, and never this thread."""
        try:
            step()
        except Exception as error:
            process, lost, lived_s = self._process, 0, 0.0
            if process is not None:
                lived_s = time.monotonic() - process.started_s
                _, lost = self._bury(process)
            log.error(
                "the prediction log's process was ended with up to %d rows, because it could not be fed (%s: %s); %s",
                lost, type(error).__name__, error, self._again(lived_s),
            )  # fmt: skip

    def _look(self) -> None:
        if self._process is None and time.monotonic() >= self._start_at_s:
            self._start()
        self._hear()
        if self._process is not None and self._process.is_ready:
            self._feed()

    def _start(self) -> None:
        self._told_facts = self._handed_rows = 0
        try:
            self._process = WriterProcess(self._options, self._worker)
        except OSError as error:  # as when there is no memory
            log.error("the prediction log's process cannot be started: %s; %s", error, self._again(0.0))

    def _feed(self) -> None:
        """Hand over what waits now; what comes meanwhile waits for the next look."""
        waiting = len(self._entries)
        while waiting and self._process is not None and not self._is_late():
            entries: list[Packed] = []
            rows = size_bytes = 0
            while len(entries) < min(waiting, _AT_ONCE) and size_bytes < _AT_ONCE_BYTES:
                entries.append(self._entries.popleft())
                rows += entries[-1].rows
                size_bytes += entries[-1].size_bytes
            waiting -= len(entries)
            self.taken_rows += rows
            self.taken_bytes += size_bytes
            self._handed_rows += rows
            new = self._facts[self._told_facts :]
            self._told_facts += len(new)
            self._send(frame(new, entries))

    def _send(self, parts: list[memoryview]) -> None:
        """Wait for a process that is slow, but for none that ended."""
        while parts and self._process is not None:
            goes_on = self._process.write(parts)
            if parts and goes_on:
                if self._is_late():
                    return
                self._process.wait(_LOOK_S, for_room=True)
            self._hear()

    def _hear(self) -> None:
        """Take what the process said, and bury it where that was its last."""
        process, goes_on = self._process, True
        if process is not None:
            complaints, goes_on = process.hear()
            for each in complaints:
                log.error("%s", each)
        self._publish()
        if process is None or goes_on:
            return
        code, lost = self._bury(process)
        if not self._stopping.is_set() or code != 0:
            log.error(
                "the prediction log's process ended (%s) and took up to %d rows with it; %s",
                _how(code), lost, self._again(time.monotonic() - process.started_s),
            )  # fmt: skip

    def _bury(self, process: WriterProcess) -> tuple[int | None, int]:
        """Return a process's exit code, and how many rows it took along."""
        code = process.end()
        lost = max(0, self._handed_rows - process.counts.written - process.counts.dropped)
        self._past += process.counts + LogCounts(dropped=lost)
        self._process = None
        self._publish()
        return code, lost

    def _publish(self) -> None:
        self.counts = self._past if self._process is None else self._past + self._process.counts

    def _again(self, lived_s: float) -> str:
        """Set when the next process starts, later after each that died young; return it as half a sentence."""
        if self._stopping.is_set():
            return "the gateway stops"
        self._deaths = 1 if lived_s >= _STEADY_S else self._deaths + 1
        wait_s = min(_FIRST_WAIT_S * 2 ** min(self._deaths - 1, 10), _LONGEST_WAIT_S)
        self._start_at_s = time.monotonic() + wait_s
        return f"it is started again in {wait_s:g} s"

    def _is_late(self) -> bool:
        return self._stopping.is_set() and time.monotonic() > self._stop_by_s

    def _finish(self) -> None:
        """Hand over the rest and wait until it is written."""
        if self._process is None and self._entries:
            self._start()
        self._feed()
        if self._process is not None:
            self._process.end_input()
        while self._process is not None and not self._is_late():
            self._process.wait(min(_LOOK_S, max(0.0, self._stop_by_s - time.monotonic())), for_room=False)
            self._hear()
        if self._process is not None:
            log.error("the prediction log's process %d takes its time and is left to end by itself", self._process.pid)
            self._process.leave()

    def _count_rest(self) -> None:
        """Count what was not even handed over."""
        if lost := sum(each.rows for each in self._entries):
            self.counts = self._past = self.counts + LogCounts(dropped=lost)
            log.error("the prediction log lost its last %d rows: they could not be handed over in time", lost)


def _how(exit_code: int | None) -> str:
    if exit_code is None:
        return "but not in the eyes of the system"
    return signal.Signals(-exit_code).name if exit_code < 0 else f"exit code {exit_code}"
