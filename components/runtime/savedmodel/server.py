"""One server: a process forked from TensorFlow's, its lanes, and its end. Knows nothing of who starts it again."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.errors import FaultError
from components.runtime.protocol import Stop
from components.runtime.savedmodel.host import shared_host
from components.runtime.savedmodel.lanes import Lane, LaneEndedError, LaneStoppedError

_LAST_WORDS_S = 1.0
"""How long to wait for how a server ended, once its lanes did."""


class Server:
    """A process that has one SavedModel open."""

    def __init__(self, directory: Path, threads: int, lanes: int, ended: Callable[[Server], None]) -> None:
        """Have it started.

        Args:
            directory: The SavedModel.
            threads: How many threads one prediction may use.
            lanes: How many predictions it makes at once.
            ended: Hears, in another thread, that it ended by itself.

        Raises:
            FaultError: TensorFlow's process cannot be started.
        """
        self._told = ended
        self._ended = threading.Event()
        self._exit_code: int | None = None
        self._host = shared_host()
        pairs = [socket.socketpair() for _ in range(lanes)]
        self._lanes = [Lane(ours) for ours, _ in pairs]
        self.free = list(self._lanes)
        """The lanes that nobody uses."""
        try:
            self._number = self._host.serve(directory, threads, [theirs for _, theirs in pairs], self._hear)
        except FaultError:
            self.end()
            raise
        finally:
            for _, theirs in pairs:
                theirs.close()
        self.born_s = time.monotonic()
        self.is_gone = False
        self.was_ended = False
        """Whether it was ended from here, because a prediction hung."""

    @property
    def pid(self) -> int | None:
        """Its process."""
        return self._host.pid_of(self._number)

    def described(self, stop: Stop) -> dict[str, Any]:
        """Wait until it has the model open, and return the inputs and outputs that it says it has.

        Raises:
            FaultError: it ended, the model cannot be opened, or `stop` said to end.
        """
        try:
            header, _ = self._lanes[0].receive(stop)
        except LaneEndedError:
            raise FaultError(f"TensorFlow's process {self.how()} while it opened the product") from None
        except LaneStoppedError:
            raise FaultError("opening the product was stopped") from None
        if "error" in header:
            raise FaultError(f"TensorFlow cannot open the product: {header['error']}")
        return header

    def how(self) -> str:
        """Return how it ended, in words."""
        if self.was_ended:
            return "was ended, because a prediction hung"
        self._ended.wait(_LAST_WORDS_S)
        code = self._exit_code
        if code is None:
            return f"ended: {self._host.failure}" if self._host.failure else "ended"
        if code < 0:
            hint = " (the machine may be out of memory)" if code == -signal.SIGKILL else ""
            return f"was killed by {signal.Signals(-code).name}{hint}"
        return f"ended with exit code {code}"

    def end(self) -> None:
        """End it at once; whoever uses a lane hears of it, and closes it."""
        if hasattr(self, "_number"):
            self._host.kill(self._number)
        for lane in self._lanes:
            lane.end()
        while self.free:
            self.free.pop().close()

    def _hear(self, code: int | None) -> None:
        self._exit_code = code
        self._ended.set()
        self._told(self)
