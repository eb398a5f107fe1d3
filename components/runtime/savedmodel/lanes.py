"""This side of a lane: a socket on which a server answers one request at a time. Knows no model.

Whoever waits for an answer looks for its stop from time to time, since a server may hang with a request half read.
"""

from __future__ import annotations

import contextlib
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
        self._unsent = memoryview(b"")
        """What is left to send of the last frame."""
        self._sizes: tuple[int, int] | None = None
        """Of the frame whose prefix was read, while the rest of it was not."""
        self._part: bytearray | None = None
        """What is being read, up to `_part_bytes`; a wait that is stopped goes on from there."""
        self._part_bytes = 0

    def send(self, frame: bytes, stop: Stop) -> None:
        """Send a frame.

        Raises:
            LaneEndedError: the server is gone.
            LaneStoppedError: `stop` says so; what is left of the frame is sent by `has_answer_within`.
        """
        self._unsent = memoryview(frame)
        self._send_rest(stop)

    def receive(self, stop: Stop) -> tuple[frames.Header, dict[str, NDArray[Any]]]:
        """Return the next frame.

        Raises:
            LaneEndedError: the server is gone, or what it sent is no frame.
            LaneStoppedError: `stop` says so; the frame may still come.
        """
        try:
            if self._sizes is None:
                self._sizes = frames.sizes(self._exactly(frames.PREFIX.size, stop))
            header_bytes, payload_bytes = self._sizes
            content = self._exactly(header_bytes + payload_bytes, stop)
            self._sizes = None
            return frames.unpack(memoryview(content), header_bytes)
        except frames.FrameError as error:
            raise LaneEndedError(str(error)) from error

    def has_answer_within(self, time_s: float) -> bool:
        """Wait for the answer that nobody wants any more, and throw it away; False where it did not come in time."""
        try:
            until = _Until(time.monotonic() + time_s)
            self._send_rest(until)
            self.receive(until)
        except (LaneEndedError, LaneStoppedError):
            return False
        return True

    def end(self) -> None:
        """Have whoever uses the lane hear that the server is gone; the socket stays theirs until they close it."""
        with contextlib.suppress(OSError):  # the other side is closed already
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the socket back; only for who has the lane, since the system may give its number away at once."""
        self._socket.close()

    def _send_rest(self, stop: Stop) -> None:
        while self._unsent:
            try:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
            except BlockingIOError:
                self._wait(select.POLLOUT, stop)
            except OSError as error:
                raise LaneEndedError from error

    def _exactly(self, size: int, stop: Stop) -> bytearray:
        """Return as many bytes, together with those that a wait for as many had read when it was stopped."""
        if self._part is None:
            self._part, self._part_bytes = bytearray(size), 0
        view = memoryview(self._part)
        while self._part_bytes < size:
            try:
                got = self._socket.recv_into(view[self._part_bytes :])
            except BlockingIOError:
                self._wait(select.POLLIN, stop)
                continue
            except OSError as error:
                raise LaneEndedError from error
            if not got:
                raise LaneEndedError
            self._part_bytes += got
        content, self._part = self._part, None
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
