"""Send a response's head together with its body. Knows nothing of HTTP but how an interim response begins.

uvicorn writes them one after the other, and uvloop sends each at once: two system calls and two packets for an answer
of a few hundred bytes.
"""

from __future__ import annotations

import asyncio

_INTERIM = b"HTTP/1.1 100 "


class JoinedWrites:
    """Stand before a transport for one response that has a body: hold its first write until the next one."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held: bytes | None = None
        self._begun = False

    def write(self, data: bytes) -> None:
        """Hold the head; send whatever comes after it."""
        if self._begun or data.startswith(_INTERIM):
            if self._held is not None:
                data, self._held = self._held + data, None
            self._transport.write(data)
        else:
            self._begun = True
            self._held = data

    def close(self) -> None:
        """Send what is held, and close."""
        if self._held is not None:
            self._transport.write(self._held)
        self._transport.close()

    def is_closing(self) -> bool:
        """Return whether nothing more can be sent."""
        return self._transport.is_closing()
