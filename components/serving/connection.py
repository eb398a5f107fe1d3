"""One connection: how much and how long a client may send before its request is whole. Knows nothing of what it asks.

uvicorn's protocol with what it leaves open: a limit on the request line and headers, a time limit on sending a request
(headers and body, also one byte at a time), a limit on connections, refusals as JSON, and one write for an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, cast

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from components.serving.joined_writes import JoinedWrites
from components.serving.options import Limits

_NEVER = float("inf")


class GuardedProtocol(HttpToolsProtocol):
    """Serve one connection within `limits`."""

    limits: ClassVar[Limits]
    refused: ClassVar[Callable[[int], None]]

    _deadline = _NEVER
    _head_bytes = 0
    _in_head = False
    _refusal: tuple[int, str] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or turn it away when there are too many."""
        super().connection_made(transport)
        self._deadline = self.loop.time() + self.limits.keep_alive_s
        if len(self.connections) > self.limits.connections:
            self._refuse(503, f"{self.limits.connections} connections are open, as many as may be; try again")

    def data_received(self, data: bytes) -> None:
        """Take bytes, and refuse a head that grows beyond its limit."""
        self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > self.limits.header_bytes and not self.transport.is_closing():
            self._refuse(431, self._too_much_head())

    def on_message_begin(self) -> None:
        """Start the clock of a request."""
        self._deadline = self.loop.time() + self.limits.time_s
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Start answering, unless the head is too long."""
        if self._head_bytes > self.limits.header_bytes and self._measured_head() > self.limits.header_bytes:
            self._refusal = (431, self._too_much_head())
            raise ValueError(self._refusal[1])  # the parser stops, and `send_400_response` is called
        self._in_head = False
        self._head_bytes = 0
        super().on_headers_complete()
        if self.scope["method"] != "HEAD":  # whose head is all there is
            self.cycle.transport = cast("asyncio.Transport", JoinedWrites(self.transport))

    def on_message_complete(self) -> None:
        """Stop the clock: the request is whole."""
        self._deadline = _NEVER
        self._head_bytes = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's own words are no JSON
        """Refuse what is no HTTP request, or one whose head is too long."""
        self._refuse(*(self._refusal or (400, "the bytes received are no HTTP request that this gateway understands")))

    def close_when_late(self, now: float) -> None:
        """Give up on a client that has not sent its request in time."""
        if now < self._deadline or self.transport is None or self.transport.is_closing():
            return
        self._deadline = _NEVER
        if self._in_head or (self.cycle is not None and not self.cycle.response_started):
            self._refuse(408, f"the request was not complete within {self.limits.time_s:g} s")
        else:  # nothing was asked, or it was answered without waiting for the rest
            self.transport.close()

    def _measured_head(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _too_much_head(self) -> str:
        return f"the request line and headers are longer than {self.limits.header_bytes} bytes"

    def _refuse(self, status: int, sentence: str) -> None:
        type(self).refused(status)
        body = orjson.dumps({"error": sentence})
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()


def guarded(limits: Limits, refused: Callable[[int], None]) -> type[GuardedProtocol]:
    """Return the protocol class for these limits; `refused` hears every status that never reaches the application."""
    return type("Connection", (GuardedProtocol,), {"limits": limits, "refused": staticmethod(refused)})


async def watch_deadlines(connections: Iterable[Any], every_s: float) -> None:
    """Close late connections, for ever; one sweep over all of them costs less than a timer for each request."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(every_s)
        now = loop.time()
        for connection in list(connections):
            cast("GuardedProtocol", connection).close_when_late(now)
