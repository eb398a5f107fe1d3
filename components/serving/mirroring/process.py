"""A shadow's process as its worker holds it: fed and heard without ever waiting. Knows no request."""

from __future__ import annotations

import json
import mmap
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress

from components.serving.mirroring.memory_bound import bound_bytes
from components.types import record
from components.types.release import PlacedModel

WORD_BYTES = 8
_BUFFER_BYTES = 1 << 20
_READ_BYTES = 65_536
_END_S = 1.0
"""How long a process that was killed may take to be gone."""


class ShadowProcess:
    """One run of `child`; started when made."""

    def __init__(self, placed: PlacedModel, time_limit_s: float) -> None:
        """Start it, in a group of its own: what stops the gateway need not stop what ends with it anyway.

        Raises:
            OSError: no process can be started.
        """
        self.started_s = time.monotonic()
        self.is_ready = False
        """Whether it has the version loaded."""
        self.was_ended = False
        """Whether it was ended from here, because a prediction hung."""
        self._unsent = memoryview(b"")
        with tempfile.TemporaryFile() as shared:
            shared.truncate(WORD_BYTES)
            self._begun = mmap.mmap(shared.fileno(), WORD_BYTES)
            self.socket, theirs = socket.socketpair()
            with theirs:
                for each in (self.socket, theirs):
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
                self.socket.setblocking(False)
                told = {"placed": record.dump(placed), "time_limit_s": time_limit_s, "parent": os.getpid()}
                task = json.dumps({**told, "most_bytes": bound_bytes()})
                numbers = [str(theirs.fileno()), str(shared.fileno())]
                try:
                    self._process = subprocess.Popen(
                        [sys.executable, "-m", "components.serving.mirroring.child", task, *numbers],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        pass_fds=(theirs.fileno(), shared.fileno()),
                        process_group=0,
                    )
                except OSError:
                    self.socket.close()
                    raise

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def begun(self) -> int:
        """The number of the request that it began last, also of one that killed it."""
        return int.from_bytes(self._begun[:WORD_BYTES], sys.byteorder)

    def send(self, data: bytes = b"") -> bool:
        """Hand over as much as has room now, after what had none before; return whether all of it had."""
        self._unsent = memoryview(bytes(self._unsent) + data) if self._unsent else memoryview(data)
        with suppress(BlockingIOError, ConnectionError):  # one that is gone is heard of by `receive`
            while self._unsent:
                self._unsent = self._unsent[self.socket.send(self._unsent) :]
        return not self._unsent

    def receive(self) -> bytes | None:
        """Return what it said since; None once it said its last."""
        try:
            return self.socket.recv(_READ_BYTES) or None
        except BlockingIOError:
            return b""
        except ConnectionError:
            return None

    def end(self) -> int | None:
        """End it at once unless it has ended, and return its exit code; None if it stays."""
        self.socket.close()
        with suppress(subprocess.TimeoutExpired):  # one that crashed may still be on its way out
            if not self.was_ended:
                return self._process.wait(_END_S)
        self.kill()
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(_END_S)
        return None

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
