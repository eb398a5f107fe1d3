"""Take predictions off the requests' hands: pack them, or drop and count. Knows nothing of Parquet.

Called on the event loop's thread after every answer, so it does as little as can be; a thread hands them on (`feeder`)
to a process of its own (`child`), which writes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from components.serving.prediction_log.counts import LogCounts
from components.serving.prediction_log.options import LogOptions

if TYPE_CHECKING:  # the process that writes imports this package, and none of these
    from components.serving.input_plan import Batch
    from components.serving.prediction_log.frames import Packed
    from components.serving.served_model import ServedModel
    from components.types.release import Role

_HASH_BITS = 61
"""Python's hash of a text is even over 61 bits and keyed by the process: a client cannot choose to be sampled."""
_GRACE_S = 0.5
"""What it may take to give up."""

log = logging.getLogger("towpath.gateway")


class PredictionLog:
    """The log of one worker; made once, closed once."""

    def __init__(self, options: LogOptions, worker: int = 0) -> None:
        """Start what writes; it makes the folder, and goes on trying where it cannot."""
        from components.serving.prediction_log.feeder import Feeder  # the process that writes needs neither
        from components.serving.prediction_log.frames import Packer

        self._options = options
        self._entries: deque[Packed] = deque()
        self._packer = Packer()
        self._sampled_below = int(options.rate * (1 << _HASH_BITS))
        self._burst = max(1, int(options.rows_per_s))
        self._budget = float(self._burst)
        self._filled_s = time.monotonic()
        self._offered_rows = self._offered_bytes = 0  # written by the event loop only; the feeder has its own
        self._limited = self._dropped = 0
        self._has_failed = False
        self._feeder = Feeder(options, worker, self._entries, self._packer.facts)
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

        Called from one thread. Large arrays are referred to, not copied: nobody may change them afterwards.

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
        if self._offered_rows - self._feeder.taken_rows + wanted > self._options.queue_rows:
            self._dropped += wanted
            return
        try:
            name = "" if role is None else str(role)
            entry = self._packer.pack(model, name, rev, request_id, user, batch, outputs, seconds, status, step)
        except Exception as error:
            self._failed(model, wanted, error)
            return
        if self._offered_bytes - self._feeder.taken_bytes + entry.size_bytes > self._options.queue_bytes:
            self._dropped += wanted
            return
        self._budget -= wanted
        self._offered_rows += wanted
        self._offered_bytes += entry.size_bytes
        self._entries.append(entry)

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

    def _failed(self, model: ServedModel, rows: int, error: Exception) -> None:
        self._dropped += rows
        if not self._has_failed:  # once is enough
            log.error("a prediction of %s version %d cannot be logged: %s", model.ref.model, model.ref.version, error)
        self._has_failed = True
