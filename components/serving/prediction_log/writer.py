"""Turn logged entries into files. Knows nothing of requests, nor of where the entries come from."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.serving.prediction_log.counts import LogCounts
from components.serving.prediction_log.files import LogFolder
from components.serving.prediction_log.options import LogOptions
from components.serving.prediction_log.schema import day_of, make_rows, make_schema

if TYPE_CHECKING:
    from components.serving.prediction_log.frames import LoggedEntry

_AT_ONCE = 1_024
"""Most entries made one batch: a file may have so many rows more than it should."""
_JOINED = 64
"""So many small batches are made one: each column of each costs some hundred bytes."""

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
    """Write entries to files that are closed by rows, bytes, age and day; nothing that a disk does is an error here."""

    def __init__(
        self,
        options: LogOptions,
        worker: int,
        complain: Callable[[str], None],
        tell: Callable[[LogCounts], None] = lambda _: None,
    ) -> None:
        """Take the options, whose files they are, who hears what went wrong, and who is told of every file."""
        self.counts = LogCounts()
        """What became of the rows that were written or given up."""
        self._options = options
        self._at_once = min(_AT_ONCE, options.file_rows)
        self._complain = complain
        self._tell = tell
        self._folder = LogFolder(options.folder, worker)
        self._open: dict[_Key, _OpenFile] = {}
        self._has_failed = False

    def prepare(self) -> None:
        """Make the folder, and tidy up what others left."""
        self._try(self._folder.prepare)
        self._tidy()

    def write(self, entries: Sequence[LoggedEntry]) -> None:
        """Add entries to the open files."""
        for start in range(0, len(entries), self._at_once):
            groups: dict[_Key, list[LoggedEntry]] = {}
            for each in entries[start : start + self._at_once]:
                ref = each.version.ref
                groups.setdefault((ref.model, ref.version, ref.digest, day_of(each.time_s)), []).append(each)
            for key, group in groups.items():
                self._add(key, group)

    def _add(self, key: _Key, group: list[LoggedEntry]) -> None:
        file = self._open.get(key)
        if file is None:
            file = _OpenFile(make_schema(group[0].version), group[0].time_s, time.monotonic())
            self._open[key] = file
        if file.rows >= 2 * self._options.file_rows or file.size_bytes >= 2 * self._options.file_bytes:
            self._count(dropped=sum(each.logged_rows for each in group))  # it cannot be written, and grows no more
            return
        try:
            rows = make_rows(file.schema, group)
        except Exception as error:
            if len(group) > 1:  # one of them; the others are good
                for each in group:
                    self._add(key, [each])
                return
            self._count(dropped=group[0].logged_rows)
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

    def close_due(self) -> None:
        """Write the files that are old enough, or of another day."""
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
            self._count(failures=1)
            self._failed(f"the prediction log cannot write to {self._options.folder}: {error}; it goes on trying")
            return
        del self._open[key]
        self._count(files=1, written=file.rows)
        self._tell(self.counts)
        self._has_failed = False
        self._tidy()

    def _tidy(self) -> None:
        def tidy() -> None:
            self._count(deleted=self._folder.sweep())
            self._count(deleted=self._folder.keep_within(self._options.total_bytes))

        self._try(tidy)

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except OSError as error:
            self._count(failures=1)
            self._failed(f"the prediction log cannot use {self._options.folder}: {error}; it goes on trying")

    def close_all(self) -> None:
        """Write what is open, for the last time."""
        for key, file in list(self._open.items()):
            self._close(key, file, is_last_try=True)
        lost = sum(file.rows for file in self._open.values())
        if lost:
            self._count(dropped=lost)
            self._complain(f"the prediction log lost its last {lost} rows: they could not be written")
        self._open.clear()

    def _count(self, **more: int) -> None:
        self.counts += LogCounts(**more)

    def _failed(self, sentence: str) -> None:
        """Say it once, and again only after something went well in between."""
        if not self._has_failed:
            self._complain(sentence)
        self._has_failed = True


def _write(file: _OpenFile, path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(_table([*file.batches, *file.recent]), path, compression="zstd")


def _table(batches: list[Any]) -> Any:
    import pyarrow as pa

    return pa.Table.from_batches(batches).combine_chunks()
