"""The thread that turns logged entries into files. Knows nothing of requests; nothing that fails here reaches one."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.serving.prediction_log.files import LogFolder
from components.serving.prediction_log.options import LogOptions
from components.serving.prediction_log.schema import day_of, make_rows, make_schema

if TYPE_CHECKING:
    from components.serving.prediction_log.log import Entry, LogCounts

_LOOK_S = 0.25
_AT_ONCE = 256
"""Entries converted before the thread steps back: for so long, about a millisecond, a request may have to wait for the
interpreter. Fewer cost more in all: most of the time goes into the columns, however many rows they have."""
_STEP_BACK_S = 0.0005
_JOINED = 64
"""So many small batches are made one, outside the interpreter: each column of each costs some hundred bytes."""

log = logging.getLogger("towpath.gateway")

_Key = tuple[str, int, str, str]
"""Model, version, digest and day."""


@dataclass
class _OpenFile:
    schema: Any
    first_s: float
    """When its first row was answered."""
    opened_s: float
    """When it was opened, by the clock that never goes back."""
    batches: list[Any] = field(default_factory=list)
    recent: list[Any] = field(default_factory=list)
    """Small batches, not joined yet."""
    rows: int = 0
    size_bytes: int = 0
    retry_at_s: float = 0.0
    """Not to be written before this time: the last try failed."""


class Writer:
    """Take entries from a queue, and write them to files that are closed by rows, bytes, age and day."""

    def __init__(self, options: LogOptions, worker: int, entries: deque[Entry], counts: LogCounts) -> None:
        self.taken_rows = self.taken_bytes = 0
        """What was ever taken from the queue; the event loop only reads it."""
        self._options = options
        self._at_once = min(_AT_ONCE, options.file_rows)
        self._entries = entries
        self._counts = counts
        self._folder = LogFolder(options.folder, worker)
        self._open: dict[_Key, _OpenFile] = {}
        self._stopping = threading.Event()
        self._has_failed = False

    def stop(self) -> None:
        """Ask the thread to write what it has and end."""
        self._stopping.set()

    def run(self) -> None:
        """Write until stopped."""
        import pyarrow.parquet  # noqa: F401 - now, before requests come: it takes a fifth of a second

        self._try(self._folder.prepare)
        self._tidy()
        while not self._stopping.wait(_LOOK_S):
            self._drain()
            self._close_due()
        self._drain()
        self._close_all()

    def _drain(self) -> None:
        waiting = len(self._entries)  # what comes meanwhile waits for the next look: few rows cost as much as many
        for count in (min(self._at_once, waiting - start) for start in range(0, waiting, self._at_once)):
            taken = [self._entries.popleft() for _ in range(count)]
            groups: dict[_Key, list[Entry]] = {}
            for each in taken:
                ref = each.model.ref
                groups.setdefault((ref.model, ref.version, ref.digest, day_of(each.time_s)), []).append(each)
            for key, group in groups.items():
                self._add(key, group)
            self.taken_rows += sum(each.logged_rows for each in taken)
            self.taken_bytes += sum(each.size_bytes for each in taken)
            if not self._stopping.is_set():
                time.sleep(_STEP_BACK_S)

    def _add(self, key: _Key, group: list[Entry]) -> None:
        file = self._open.get(key)
        if file is None:
            file = _OpenFile(make_schema(group[0].model), group[0].time_s, time.monotonic())
            self._open[key] = file
        if file.rows >= 2 * self._options.file_rows or file.size_bytes >= 2 * self._options.file_bytes:
            self._counts.dropped += sum(each.logged_rows for each in group)  # it cannot be written, and grows no more
            return
        try:
            rows = make_rows(file.schema, group)
        except Exception as error:
            if len(group) > 1:  # one of them; the others are good
                for each in group:
                    self._add(key, [each])
                return
            self._counts.dropped += group[0].logged_rows
            self._failed(f"a prediction of {key[0]} version {key[1]} cannot be logged: {error}")
            return
        file.recent.append(rows)
        if len(file.recent) >= _JOINED:
            file.batches += _table(file.recent).to_batches()
            file.recent.clear()
        file.rows += rows.num_rows
        file.size_bytes += rows.nbytes
        if file.rows >= self._options.file_rows or file.size_bytes >= self._options.file_bytes:
            self._close(key, file)

    def _close_due(self) -> None:
        now_s, today = time.monotonic(), day_of(time.time())
        for key, file in list(self._open.items()):
            if now_s - file.opened_s >= self._options.file_s or key[3] < today:
                self._close(key, file)

    def _close(self, key: _Key, file: _OpenFile, is_last_try: bool = False) -> None:
        """Write a file, unless its last try failed a moment ago; it stays open when it cannot be written."""
        if time.monotonic() < file.retry_at_s and not is_last_try:
            return
        model, version, _, _ = key
        try:
            self._folder.put(model, version, file.first_s, partial(_write, file))
        except Exception as error:
            file.retry_at_s = time.monotonic() + self._options.retry_s
            self._counts.failures += 1
            self._failed(f"the prediction log cannot write to {self._options.folder}: {error}; it goes on trying")
            return
        del self._open[key]
        self._counts.files += 1
        self._counts.written += file.rows
        self._has_failed = False
        self._tidy()

    def _tidy(self) -> None:
        def tidy() -> None:
            self._counts.deleted += self._folder.sweep()
            self._counts.deleted += self._folder.keep_within(self._options.total_bytes)

        self._try(tidy)

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except OSError as error:
            self._counts.failures += 1
            self._failed(f"the prediction log cannot use {self._options.folder}: {error}; it goes on trying")

    def _close_all(self) -> None:
        for key, file in list(self._open.items()):
            self._close(key, file, is_last_try=True)
        lost = sum(file.rows for file in self._open.values())
        if lost:
            self._counts.dropped += lost
            log.error("the prediction log lost its last %d rows: they could not be written", lost)
        self._open.clear()

    def _failed(self, sentence: str) -> None:
        """Say it once, and again only after something went well in between."""
        if not self._has_failed:
            log.error("%s", sentence)
        self._has_failed = True


def _write(file: _OpenFile, path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(_table([*file.batches, *file.recent]), path, compression="zstd")


def _table(batches: list[Any]) -> Any:
    import pyarrow as pa

    return pa.Table.from_batches(batches).combine_chunks()
