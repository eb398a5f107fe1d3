"""Send one request at a fixed rate, whether or not the server keeps up, and time every answer. Judges nothing.

A request is due at its time; one that has to wait for a free connection has its wait counted, so that a server that
stalls cannot hide it by slowing its clients down (what wrk2 calls coordinated omission). A process of its own with
plain sockets and ``select``, whose time-outs are exact to microseconds; those of an event loop are so to milliseconds.
"""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.load import answer_length

CONNECTIONS = 64


class Sent(NamedTuple):
    """What came of a run: one number per request."""

    took_s: np.ndarray
    """From when it was due until its answer was there."""
    late_s: np.ndarray
    """How late this client came to it: where that is much, the machine is too busy to measure anything."""


def send(port: int, path: str, body: bytes, requests_per_s: float, seconds: float) -> Sent:
    """Send requests at a rate and return how long each took; any answer but 200 is an error."""
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(body)
        command = [
            sys.executable,
            "-m",
            "bench.open_loop",
            str(port),
            path,
            file.name,
            str(requests_per_s),
            str(seconds),
        ]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Sent(*(np.array(each) for each in json.loads(done.stdout)))


class _Sender:
    """Connections to one server, and which requests are due."""

    def __init__(self, port: int, request: bytes) -> None:
        self._request = request
        self._free = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
        self._asked: dict[socket.socket, tuple[float, bytes]] = {}
        self._late: deque[float] = deque()
        self.took_s: list[float] = []
        for each in self._free:
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is outstanding."""
        return bool(self._asked or self._late)

    def ask(self, due_s: float) -> None:
        """Send a request that is due, or queue it where no connection is free."""
        if not self._free:
            self._late.append(due_s)
            return
        connection = self._free.pop()
        connection.sendall(self._request)
        self._asked[connection] = (due_s, b"")

    def listen(self, until_s: float) -> None:
        """Take the answers that come until then, and send what waits for a connection."""
        ready, _, _ = select.select(list(self._asked), [], [], max(0.0, until_s - time.perf_counter()))
        for connection in ready:
            due_s, before = self._asked[connection]
            received = before + connection.recv(65_536)
            length = answer_length(received)
            if not length or len(received) < length:
                self._asked[connection] = (due_s, received)
                continue
            self.took_s.append(time.perf_counter() - due_s)
            del self._asked[connection]
            self._free.append(connection)
            if self._late:
                self.ask(self._late.popleft())


def _run(port: int, path: str, body: bytes, requests_per_s: float, seconds: float) -> tuple[list[float], list[float]]:
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    sender = _Sender(port, head.encode() + body)
    late_s = []
    begun = time.perf_counter()
    for number in range(int(requests_per_s * seconds)):
        due_s = begun + number / requests_per_s
        while time.perf_counter() < due_s:
            sender.listen(due_s)
        late_s.append(time.perf_counter() - due_s)
        sender.ask(due_s)
    end_s = time.perf_counter() + 10
    while sender.is_waiting and time.perf_counter() < end_s:
        sender.listen(end_s)
    if sender.is_waiting:
        raise RuntimeError("some requests were not answered within 10 s")
    return sender.took_s, late_s


if __name__ == "__main__":
    to_port, to_path, from_file, rate, duration = sys.argv[1:]
    print(json.dumps(_run(int(to_port), to_path, Path(from_file).read_bytes(), float(rate), float(duration))))
