"""Take predictions off the requests' hands: append references, or drop and count. Knows nothing of Parquet.

Called on the event loop's thread after every answer, so it does as little as can be; a thread hands them on (`feeder`)
to a process of its own (`child`), which writes.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from components.serving.prediction_log.counts import LogCounts
from components.serving.prediction_log.options import LogOptions
from components.types.dataset import ColumnType

if TYPE_CHECKING:  # the process that writes imports this package, and none of these
    from components.serving.input_plan import Batch, InputPlan
    from components.serving.served_model import ServedModel
    from components.types.release import Role

_HASH_BITS = 61
"""Python's hash of a text is even over 61 bits and keyed by the process: a client cannot choose to be sampled."""
_TEXT_BYTES = 57
"""What an empty text takes; a letter takes at most 4 more."""
_ENTRY_BYTES = 300
"""What an entry takes beside its tensors."""
_MOST_WIDTHS = 256
_GRACE_S = 0.5
"""What it may take to give up."""
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


class PredictionLog:
    """The log of one worker; made once, closed once."""

    def __init__(self, options: LogOptions, worker: int = 0) -> None:
        """Start what writes; it makes the folder, and goes on trying where it cannot."""
        from components.serving.prediction_log.feeder import Feeder  # the process that writes needs none

        self._options = options
        self._entries: deque[Entry] = deque()
        self._sampled_below = int(options.rate * (1 << _HASH_BITS))
        self._burst = max(1, int(options.rows_per_s))
        self._budget = float(self._burst)
        self._filled_s = time.monotonic()
        self._offered_rows = self._offered_bytes = 0  # written by the event loop only; the feeder has its own
        self._limited = self._dropped = 0
        self._widths: dict[int, _Width] = {}
        self._feeder = Feeder(options, worker, self._entries)
        self._thread = threading.Thread(target=self._feeder.run, name="prediction-log", daemon=True)
        self._thread.start()

    @property
    def counts(self) -> LogCounts:
        """What became of the rows, as far as is known: a moment ago, for those that are being written."""
        return self._feeder.counts + LogCounts(limited=self._limited, dropped=self._dropped)

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
        rows, step = batch.rows, 1
        if rows > self._burst:
            step = -(-rows // self._burst)
        wanted = -(-rows // step)
        self._limited += rows - wanted
        if wanted > self._budget and not self._refill(wanted):
            self._limited += wanted
            return
        size_bytes = self._size_bytes(model, batch, rows)
        waiting_rows = self._offered_rows - self._feeder.taken_rows
        waiting_bytes = self._offered_bytes - self._feeder.taken_bytes
        if waiting_rows + wanted > self._options.queue_rows or waiting_bytes + size_bytes > self._options.queue_bytes:
            self._dropped += wanted
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
        """Have everything written and the open files closed; wait no longer than `time_s` for it."""
        self._feeder.stop(time_s)
        self._thread.join(time_s + _GRACE_S)

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
