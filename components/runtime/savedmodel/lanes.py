"""This side of a lane: a socket on which a server answers one request at a time. Knows no model.

Whoever waits for an answer looks for its stop from time to time, since a server may hang with a request half read.
"""

from __future__ import annotations

import select
import socket
import time
from typing import Any

from numpy.typing import NDArray

from components.runtime.protocol import Stop
from components.runtime.savedmodel import frames

LISTENING_MS = 20
"""How soon a stop is heard."""
_BUFFER_BYTES = 1 << 18


class LaneEndedError(Exception):
    """The server is gone, or said what is no frame; its words are in the first argument, if there are any."""


class LaneStoppedError(Exception):
    """The wait was stopped; an answer may still come."""


class Lane:
    """One lane; belongs to one thread at a time."""

    def __init__(self, ours: socket.socket) -> None:
        """Take this side's socket."""
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            ours.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
        ours.setblocking(False)
        self._socket = ours
        self._poll = select.poll()
        self._poll.register(ours, select.POLLIN)

    def send(self, frame: bytes, stop: Stop) -> None:
        """Send a frame.

        Raises:
            LaneEndedError: the server is gone.
            LaneStoppedError: `stop` says so; the lane is of no use any more.
        """
        view, at = memoryview(frame), 0
        while at < len(view):
            try:
                at += self._socket.send(view[at:])
            except BlockingIOError:
                self._wait(select.POLLOUT, stop)
            except OSError as error:
                raise LaneEndedError from error

    def receive(self, stop: Stop) -> tuple[frames.Header, dict[str, NDArray[Any]]]:
        """Return the next frame.

        Raises:
            LaneEndedError: the server is gone, or what it sent is no frame.
            LaneStoppedError: `stop` says so; the frame may still come.
        """
        try:
            header_bytes, payload_bytes = frames.sizes(self._exactly(frames.PREFIX.size, stop))
            return frames.unpack(memoryview(self._exactly(header_bytes + payload_bytes, stop)), header_bytes)
        except frames.FrameError as error:
            raise LaneEndedError(str(error)) from error

    def has_answer_within(self, time_s: float) -> bool:
        """Wait for the answer that nobody wants any more, and throw it away; False where it did not come in time."""
        try:
            self.receive(_Until(time.monotonic() + time_s))
        except (LaneEndedError, LaneStoppedError):
            return False
        return True

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def _exactly(self, size: int, stop: Stop) -> bytearray:
        content = bytearray(size)
        view, at = memoryview(content), 0
        while at < size:
            try:
                got = self._socket.recv_into(view[at:])
            except BlockingIOError:
                self._wait(select.POLLIN, stop)
                continue
            except OSError as error:
                raise LaneEndedError from error
            if not got:
                raise LaneEndedError
            at += got
        return content

    def _wait(self, event: int, stop: Stop) -> None:
        if stop.terminate:
            raise LaneStoppedError
        self._poll.modify(self._socket, event)
        self._poll.poll(LISTENING_MS)


class _Until:
    """A stop by the clock."""

    def __init__(self, end_s: float) -> None:
        self._end_s = end_s

    @property
    def terminate(self) -> bool:
        return time.monotonic() > self._end_s

    @terminate.setter
    def terminate(self, value: bool) -> None:
        self._end_s = 0.0 if value else self._end_s
