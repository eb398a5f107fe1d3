"""The process that writes a worker's log: ``python -m components.serving.prediction_log.child OPTIONS WORKER``.

Only `process` starts it. It reads frames from its input until that ends, in whichever way the worker did, then writes
what it has and ends; no signal but SIGKILL makes it leave earlier. It yields the processor to whoever serves.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from dataclasses import asdict

from components.serving.low_priority import yield_processor
from components.serving.prediction_log.counts import LogCounts
from components.serving.prediction_log.frames import Decoder
from components.serving.prediction_log.options import LogOptions
from components.serving.prediction_log.writer import Writer
from components.types.record import load

_LOOK_S = 0.25
_READ_BYTES = 1_048_576


def main(options: str, worker: str) -> None:
    """Write what comes in, until nothing does."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    said, told = _Reports(), sys.stdin.fileno()
    writer = Writer(load(LogOptions, json.loads(options)), int(worker), said.complain, said.send)
    import pyarrow.parquet  # noqa: F401 - before rows come

    writer.prepare()
    said.send(writer.counts)
    yield_processor()  # only now: on a busy machine it would take long to get so far
    decoder = Decoder()
    while True:
        ready, _, _ = select.select([told], [], [], _LOOK_S)
        if ready:
            arrived = os.read(told, _READ_BYTES)
            if not arrived:
                break
            writer.write(decoder.decode(arrived))
        writer.close_due()
        said.send(writer.counts)
    writer.close_all()
    said.send(writer.counts)


class _Reports:
    """What the worker is told, as long as it listens."""

    def __init__(self) -> None:
        """Keep the output for reports alone: what anybody prints goes to the errors."""
        self._output = os.dup(sys.stdout.fileno())
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        self._counts: LogCounts | None = None
        self._complaints: list[str] = []

    def complain(self, sentence: str) -> None:
        """Have the worker log a sentence."""
        self._complaints.append(sentence)

    def send(self, counts: LogCounts) -> None:
        """Tell what is new; the first time, that it is ready."""
        if counts == self._counts and not self._complaints:
            return
        line = json.dumps({"counts": asdict(counts), "complaints": self._complaints}).encode() + b"\n"
        try:
            while line:
                line = line[os.write(self._output, line) :]
        except BrokenPipeError:  # the worker is gone
            sys.stderr.writelines(f"{each}\n" for each in self._complaints)
        self._counts, self._complaints = counts, []


if __name__ == "__main__":
    main(*sys.argv[1:])
