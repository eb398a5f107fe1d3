"""Read a request's body, no further than its limit. Knows nothing of what is in it.

How long a client may take is `connection`'s business: it sees every byte arrive.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from components.serving.refusals import RequestRefusedError, shown

Receive = Callable[[], Awaitable[Mapping[str, Any]]]

_DRAINED = 64
"""A body that is too long is read on and thrown away up to this many times the limit, because a client that is cut off
while it sends rarely gets to read the refusal."""


class ClientGoneError(Exception):
    """The client hung up before it had sent its request; there is nobody to answer."""


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], limit: int) -> bytes:
    """Return a request's body.

    Raises:
        RequestRefusedError: it is longer than `limit` bytes, or compressed.
        ClientGoneError: the client hung up.
    """
    if (encoding := headers.get(b"content-encoding", b"identity")) != b"identity":
        found = shown(encoding.decode("latin-1"))
        raise RequestRefusedError(415, f"content encoding {found}; send the body uncompressed")
    announced = headers.get(b"content-length", b"")
    if announced.isdigit() and int(announced) > limit:
        if b"expect" not in headers:  # a client that asks first has sent nothing yet
            await _drain(receive, limit * _DRAINED)
        raise _too_long(limit)
    message = await receive()
    if message["type"] != "http.request":
        raise ClientGoneError
    body: bytes = message["body"]
    if not message["more_body"]:
        if len(body) > limit:
            raise _too_long(limit)
        return body
    return await _read_on(receive, bytearray(body), limit)


async def _read_on(receive: Receive, body: bytearray, limit: int) -> bytes:
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGoneError
        body += message["body"]
        more = message["more_body"]
        if len(body) > limit:
            if more:
                await _drain(receive, limit * _DRAINED)
            raise _too_long(limit)
    return bytes(body)


async def _drain(receive: Receive, most_bytes: int) -> None:
    seen = 0
    while seen < most_bytes:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGoneError
        seen += len(message["body"])
        if not message["more_body"]:
            return


def _too_long(limit: int) -> RequestRefusedError:
    return RequestRefusedError(413, f"the body is longer than {limit} bytes; send fewer rows, or use `towpath predict`")
