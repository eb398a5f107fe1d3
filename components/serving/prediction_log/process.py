"""The process that writes, as the gateway holds it: fed and heard without ever waiting. Knows nothing of entries.

Into its input goes what is to be written, until it ends; out of its output come reports, one line of JSON each.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from contextlib import suppress

from components.serving.prediction_log.counts import LogCounts
from components.serving.prediction_log.options import LogOptions
from components.types.record import canonical_json, load

_PIPE_BYTES = 1_048_576
"""Several looks' worth of rows, where the system allows it: what is in the pipe outlives this process."""
_MOST_PARTS = 512
_READ_BYTES = 65_536
_END_S = 1.0
"""How long a process that was killed, or closed its pipes, may take to be gone."""


class WriterProcess:
    """One run of `child`; started when made."""

    def __init__(self, options: LogOptions, worker: int) -> None:
        """Start it, in a group of its own: what stops the gateway is not to stop what it handed over.

        Raises:
            OSError: no process can be started.
        """
        self.counts = LogCounts()
        """What it said last."""
        self.is_ready = False
        """Whether it said anything yet: one that cannot start is given nothing that it would take along."""
        self.started_s = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "components.serving.prediction_log.child", canonical_json(options), str(worker)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            process_group=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        self._line = b""
        for each in (self._in, self._out):
            os.set_blocking(each.fileno(), False)
        _widen(self._in.fileno())

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def write(self, parts: list[memoryview]) -> bool:
        """Hand over as much as has room now, taking it off `parts`; return whether the process still reads."""
        while parts:
            try:
                done_bytes = os.writev(self._in.fileno(), parts[:_MOST_PARTS])
            except BlockingIOError:
                return True
            except BrokenPipeError:
                return False
            whole = 0
            while whole < len(parts) and done_bytes >= parts[whole].nbytes:
                done_bytes -= parts[whole].nbytes
                whole += 1
            del parts[:whole]
            if done_bytes:
                parts[0] = parts[0][done_bytes:]
        return True

    def hear(self) -> tuple[list[str], bool]:
        """Take what it said since; return its complaints, and whether it goes on."""
        while True:
            try:
                heard = os.read(self._out.fileno(), _READ_BYTES)
            except BlockingIOError:
                return self._understood(), True
            if not heard:
                return self._understood(), False
            self._line += heard

    def wait(self, seconds: float, *, for_room: bool) -> None:
        """Wait until it said something, or, if asked, has room."""
        poll = select.poll()  # `select.select` knows no descriptor beyond 1,023, and connections are descriptors
        poll.register(self._out, select.POLLIN)
        if for_room:
            poll.register(self._in, select.POLLOUT)
        poll.poll(seconds * 1000)

    def end_input(self) -> None:
        """Tell it that nothing follows: it writes what it has, and ends."""
        self._in.close()

    def end(self) -> int | None:
        """Hear the last of it, kill it if it is not gone in a moment, and return its exit code; None if it stays."""
        self.end_input()
        code = self._exit_code()
        if code is None:
            self._process.kill()
            code = self._exit_code()
        with suppress(Exception):  # it ended, whatever it said
            self.hear()
        self._out.close()
        return code

    def leave(self) -> None:
        """Let it finish alone: it writes what it was given, and ends."""
        self.end_input()
        self._out.close()
        self._process.returncode = 0  # nobody here waits for it

    def _exit_code(self) -> int | None:
        try:
            return self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            return None

    def _understood(self) -> list[str]:
        *lines, self._line = self._line.split(b"\n")
        complaints: list[str] = []
        for line in lines:
            report = json.loads(line)
            self.is_ready = True
            self.counts = load(LogCounts, report["counts"])
            complaints += report["complaints"]
        return complaints


def _widen(pipe: int) -> None:
    """Let a pipe hold more, where the system can."""
    import fcntl

    with suppress(AttributeError, OSError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
