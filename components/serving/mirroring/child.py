"""A shadow's process: ``python -m components.serving.mirroring.child TASK SOCKET MEMORY``; only `process` starts it.

It predicts one request after the other, as stable did, and answers in bursts: to predict several requests' rows at once
would cost less, but no request would have a time of its own, and the last digits of a prediction depend on what is
predicted beside it. It yields the processor to whoever serves, and ends when its worker does, in whichever way.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from components.errors import TowpathError
from components.runtime.protocol import Stop
from components.serving.asked import Attempt
from components.serving.low_priority import yield_processor
from components.serving.measurements import Measurements
from components.serving.mirroring.frames import Frames, frame, pack_outputs, unpack_batch
from components.serving.mirroring.memory_bound import end_above, volunteer
from components.serving.mirroring.process import WORD_BYTES
from components.serving.mirroring.shadowing import compute
from components.serving.served_model import ServedModel, load_served
from components.types import record
from components.types.release import PlacedModel, Role

_READ_BYTES = 1 << 20
_AT_ONCE = 16
"""Most answers in a frame: the event loop takes a frame at a time, and that long a request may have to wait."""
_TOLD_S = 0.025
"""How long an answer may wait for the next ones."""
_LOOK_S = 0.05


def main(text: str, lane: int, memory: int) -> int:
    """Predict what comes in, until nothing does."""
    task = json.loads(text)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    yield_processor()
    volunteer()
    watch = _Watch(task["time_limit_s"], task["parent"], task["most_bytes"])
    threading.Thread(target=watch.run, daemon=True, name="watch").start()  # also over the loading
    with socket.socket(fileno=lane) as worker:
        try:
            shadow = load_served(record.load(PlacedModel, task["placed"]), Measurements())
        except TowpathError as error:
            worker.sendall(frame(str(error)))
            return error.exit_code
        watch.make_stop = shadow.make_stop
        with suppress(ConnectionError):  # the worker is gone, and nobody wants an answer
            worker.sendall(frame(""))
            _serve(worker, mmap.mmap(memory, WORD_BYTES), shadow, watch)
    return 0


def _serve(worker: socket.socket, begun: mmap.mmap, shadow: ServedModel, watch: _Watch) -> None:
    frames = Frames()
    while arrived := worker.recv(_READ_BYTES):
        frames.feed(arrived)
        while frames.has_one:
            answers: list[Any] = []
            first_s = time.monotonic()
            for number, rows, packed in frames.take():
                begun[:] = number.to_bytes(WORD_BYTES, sys.byteorder)
                attempt = Attempt(shadow, Role.SHADOW, unpack_batch(packed, rows, shadow.plan.inputs), None)
                compute(attempt, watch.begin(), watch.time_limit_s)
                watch.end()
                outputs = None if attempt.outputs is None else pack_outputs(attempt.outputs)
                answers.append((number, attempt.bad and attempt.bad.value, attempt.seconds, outputs))
                os.sched_yield()  # whoever woke meanwhile need not wait for the whole burst
                if len(answers) == _AT_ONCE or time.monotonic() - first_s > _TOLD_S:
                    worker.sendall(frame(answers))
                    answers, first_s = [], time.monotonic()
            if answers:
                worker.sendall(frame(answers))


class _Watch:
    """Asks a prediction that takes too long to stop, and ends this process when its worker or its memory is gone."""

    def __init__(self, time_limit_s: float, parent: int, most_bytes: int | None) -> None:
        self.time_limit_s = time_limit_s
        self.make_stop: Callable[[], Stop] | None = None
        """How a prediction is stopped; known once the version is loaded."""
        self._parent = parent
        self._most_bytes = most_bytes
        self._stop: Stop | None = None
        self._late_s = math.inf

    def begin(self) -> Stop:
        """Return the means to stop the prediction that begins now."""
        if self._stop is None:
            assert self.make_stop is not None
            self._stop = self.make_stop()
        self._late_s = time.monotonic() + self.time_limit_s
        return self._stop

    def end(self) -> None:
        """Take note that it ended; a stop that was, or may this moment be, asked for is not used again."""
        late_s, self._late_s = self._late_s, math.inf  # from here on nobody asks; somebody may have until here
        if time.monotonic() >= late_s:
            self._stop = None

    def look(self) -> None:
        """Look once."""
        stop = self._stop
        if time.monotonic() > self._late_s and stop is not None:
            stop.terminate = True
        if os.getppid() != self._parent:  # which a prediction or a loading that hangs would not notice
            os._exit(0)
        if self._most_bytes is not None:
            end_above(self._most_bytes)

    def run(self) -> None:
        """Look for ever."""
        while True:
            time.sleep(_LOOK_S)
            self.look()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
