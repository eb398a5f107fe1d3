"""Take predictions off the requests' hands: append references, or drop and count. Knows nothing of Parquet.

Called on the event loop's thread after every answer, so it does as little as can be; a thread writes (`writer`).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import numpy as np

from components.serving.input_plan import Batch, InputPlan
from components.serving.prediction_log.options import LogOptions
from components.serving.served_model import ServedModel
from components.types.dataset import ColumnType
from components.types.release import Role

_HASH_BITS = 61
"""Python's hash of a text is even over 61 bits and keyed by the process: a client cannot choose to be sampled."""
_TEXT_BYTES = 57
"""What an empty text takes; a letter takes at most 4 more."""
_ENTRY_BYTES = 300
"""What an entry takes beside its tensors."""
_MOST_WIDTHS = 256
_NOTHING: Mapping[str, np.ndarray] = {}


class Entry(NamedTuple):
    """One answered request, as the request left it."""

    model: ServedModel
    role: Role | None
    rev: int
    request_id: str
    user: int
    tensors: Mapping[str, np.ndarray]
    """Empty where `block` has all of them."""
    block: np.ndarray | None
    """All inputs as one array of shape (n_inputs, n_rows), where every input is a plain number: kept instead of a view
    for each, because what waits here costs the event loop fresh memory."""
    outputs: Mapping[str, np.ndarray] | None
    rows: int
    step: int
    """Every so-manieth row is logged: more than 1 where one request has more rows than a second may have."""
    size_bytes: int
    time_s: float
    seconds: float
    status: int

    @property
    def logged_rows(self) -> int:
        """Return how many rows of it are logged."""
        return -(-self.rows // self.step)


@dataclass
class LogCounts:
    """What became of the rows since the start, in this worker; only ever grows."""

    written: int = 0
    """Rows in files that a reader can see."""
    limited: int = 0
    """Rows left out because a second had too many."""
    dropped: int = 0
    """Rows lost: the queue was full, or they could not be written."""
    files: int = 0
    failures: int = 0
    """Writes that failed; they are tried again."""
    deleted: int = 0
    """Files deleted to stay within `total_bytes`, or left over by a process that died."""


class PredictionLog:
    """The log of one worker; made once, closed once."""

    def __init__(self, options: LogOptions, worker: int = 0) -> None:
        """Start the writer's thread; it makes the folder, and goes on trying where it cannot."""
        from components.serving.prediction_log.writer import Writer  # it knows this module's types

        self.counts = LogCounts()
        self._options = options
        self._entries: deque[Entry] = deque()
        self._sampled_below = int(options.rate * (1 << _HASH_BITS))
        self._burst = max(1, int(options.rows_per_s))
        self._budget = float(self._burst)
        self._filled_s = time.monotonic()
        self._offered_rows = self._offered_bytes = 0  # written by the event loop only; the writer has its own
        self._widths: dict[int, _Width] = {}
        self._writer = Writer(options, worker, self._entries, self.counts)
        self._thread = threading.Thread(target=self._writer.run, name="prediction-log", daemon=True)
        self._thread.start()

    def offer(
        self,
        model: ServedModel,
        role: Role | None,
        rev: int,
        request_id: str,
        user: int,
        batch: Batch,
        outputs: Mapping[str, np.ndarray] | None,
        seconds: float,
        status: int,
    ) -> None:
        """Log one answered request, or leave it out; never waits and never fails.

        Called from one thread. Arrays are referred to, not copied: nobody may change them afterwards.

        Args:
            model: The version that was asked.
            role: What it was asked as; None where the request named the version.
            rev: The slot's revision the request was routed by.
            request_id: As in ``x-request-id``.
            user: The hash of whoever asks, as `split.user_key` makes it; below 2**64.
            batch: What the version was asked.
            outputs: What it answered; None when it failed.
            seconds: How long it took.
            status: The HTTP status of its answer.
        """
        if hash(request_id) & ((1 << _HASH_BITS) - 1) >= self._sampled_below:
            return
        counts, rows, step = self.counts, batch.rows, 1
        if rows > self._burst:
            step = -(-rows // self._burst)
        wanted = -(-rows // step)
        counts.limited += rows - wanted
        if wanted > self._budget and not self._refill(wanted):
            counts.limited += wanted
            return
        size_bytes = self._size_bytes(model, batch, rows)
        waiting_rows = self._offered_rows - self._writer.taken_rows
        waiting_bytes = self._offered_bytes - self._writer.taken_bytes
        if waiting_rows + wanted > self._options.queue_rows or waiting_bytes + size_bytes > self._options.queue_bytes:
            counts.dropped += wanted
            return
        self._budget -= wanted
        block = getattr(batch.tensors, "block", None)
        self._offered_rows += wanted
        self._offered_bytes += size_bytes
        self._entries.append(
            Entry(
                model, role, rev, request_id, user, batch.tensors if block is None else _NOTHING, block, outputs, rows,
                step, size_bytes, time.time(), seconds, status,
            )
        )  # fmt: skip

    def close(self, time_s: float = 10.0) -> None:
        """Write what is waiting and close the open files; give up after `time_s`."""
        self._writer.stop()
        self._thread.join(time_s)

    def _refill(self, wanted: int) -> bool:
        now_s = time.monotonic()
        earned = (now_s - self._filled_s) * self._options.rows_per_s
        self._filled_s = now_s
        self._budget = min(float(self._burst), self._budget + earned)
        return wanted <= self._budget

    def _size_bytes(self, model: ServedModel, batch: Batch, rows: int) -> int:
        if (width := self._widths.get(id(model.plan))) is None:
            if len(self._widths) >= _MOST_WIDTHS:  # versions come and go
                self._widths.clear()
            width = self._widths[id(model.plan)] = _width(model)
        size_bytes = rows * width.row_bytes
        for name in width.strings:  # counted, not guessed: a text may be a megabyte
            size_bytes += 4 * sum(map(len, batch.tensors[name].ravel().tolist()))
        return size_bytes


class _Width(NamedTuple):
    plan: InputPlan
    """Kept, so that its id stays its own."""
    row_bytes: int
    """Of one row without its texts' letters."""
    strings: tuple[str, ...]
    """The inputs that are texts."""


def _width(model: ServedModel) -> _Width:
    inputs = model.signature.inputs
    texts = tuple(spec.name for spec in inputs if spec.type is ColumnType.STRING)
    row_bytes = _ENTRY_BYTES + 4 * len(model.signature.classes)
    for spec in inputs:
        row_bytes += prod(spec.shape) * (8 + _TEXT_BYTES if spec.name in texts else 8)
    return _Width(model.plan, row_bytes, texts)
