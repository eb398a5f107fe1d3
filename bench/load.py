"""Send one request over and over on several connections, and count the answers. Knows nothing of what is asked.

wrk does it where it is installed. Otherwise a client of our own, in a process of its own: it reads the first answer
properly and then only counts bytes, since the same question has an answer of the same length; so it costs a fraction of
what answering costs.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import cast

_COUNT = re.compile(r"(\d+) requests in")
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")


def requests_per_s(port: int, path: str, body: bytes, clients: int, seconds: float) -> float:
    """Return how many requests a second `clients` connections got answered; any answer but 200 is an error."""
    if shutil.which("wrk"):
        return _wrk(port, path, body, clients, seconds)
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(body)
        command = [sys.executable, "-m", "bench.load", str(port), path, file.name, str(clients), str(seconds)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout))


def _wrk(port: int, path: str, body: bytes, clients: int, seconds: float) -> float:
    script = f"""
wrk.method = "POST"
wrk.path = "{path}"
wrk.headers["Content-Type"] = "application/json"
wrk.body = [==[{body.decode()}]==]
"""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        command = ["wrk", "-t1", f"-c{clients}", f"-d{max(round(seconds), 1)}s", "-s", file.name]
        done = subprocess.run([*command, f"http://127.0.0.1:{port}"], capture_output=True, text=True, check=True)
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(f"not every request was answered: {done.stdout}")
    rate, count = _RATE.search(done.stdout), _COUNT.search(done.stdout)
    assert rate is not None
    assert count is not None
    return float(rate.group(1))


class _Client(asyncio.Protocol):
    def __init__(self, request: bytes) -> None:
        self._request = request
        self._transport: asyncio.Transport | None = None
        self._length = 0
        self._received = b""
        self._pending = 0
        self.answers = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._pending += len(data)
        if not self._length:
            self._received += data
            self._length = answer_length(self._received)
        if self._length and self._pending >= self._length:
            self.answers += 1
            self._pending = 0
            assert self._transport is not None
            self._transport.write(self._request)


def answer_length(received: bytes) -> int:
    """Return how long the whole answer is whose beginning was received; 0 until its head is there."""
    head, separator, _ = received.partition(b"\r\n\r\n")
    if not separator:
        return 0
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"not answered: {received[:500]!r}")
    found = re.search(rb"(?i)content-length: (\d+)", head)
    assert found is not None
    return len(head) + 4 + int(found.group(1))


async def _run(port: int, path: str, body: bytes, clients: int, seconds: float) -> float:
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    loop = asyncio.get_running_loop()
    made = [_Client(head.encode() + body) for _ in range(clients)]
    waiting = iter(made)
    transports = [(await loop.create_connection(lambda: next(waiting), "127.0.0.1", port))[0] for _ in made]
    started, before = loop.time(), sum(each.answers for each in made)
    await asyncio.sleep(seconds)
    rate = (sum(each.answers for each in made) - before) / (loop.time() - started)
    for transport in transports:
        transport.close()
    return rate


if __name__ == "__main__":
    import uvloop

    to_port, to_path, from_file, connections, duration = sys.argv[1:]
    print(uvloop.run(_run(int(to_port), to_path, Path(from_file).read_bytes(), int(connections), float(duration))))
