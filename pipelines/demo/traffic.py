"""Users of a model: real rows at a steady rate, some of them asking again and again, and true labels a moment later.

Knows nothing of releases; counts what users saw.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from pipelines.release.client import Client, Reply
from pipelines.release.requests import RequestRow

RATE_PER_S = 200.0
_CONNECTIONS = 8
_USERS = 50_000
"""So many that most requests are of a user of their own, as on a site with many visitors."""
_LABELS_AT_ONCE = 20


@dataclass
class Seen:
    """What users saw, up to now."""

    requests: int = 0
    failed: int = 0
    failures: Counter[tuple[int, str]] = field(default_factory=Counter)
    """Those by status and what was answered; 0 and nothing where there was no answer at all."""
    by_version: Counter[str] = field(default_factory=Counter)
    labels: int = 0
    """How many true labels were sent."""


class Traffic:
    """Users that ask until they are told to stop."""

    def __init__(self, url: str, model: str, rows: Sequence[RequestRow], rate_per_s: float = RATE_PER_S) -> None:
        """Take what to ask and how often; nobody asks before `running`."""
        self.seen = Seen()
        self._url, self._model, self._rows, self._rate = url, model, rows, rate_per_s
        self._numbers = count()
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    @contextmanager
    def running(self) -> Iterator[Traffic]:
        """Let users ask for the length of the block."""
        begun = time.perf_counter()
        users = [threading.Thread(target=self._ask, args=(begun,), daemon=True) for _ in range(_CONNECTIONS)]
        for user in users:
            user.start()
        try:
            yield self
        finally:
            self._stopped.set()
            for user in users:
                user.join()

    def _ask(self, begun: float) -> None:
        path, known = f"/v2/models/{self._model}/infer", []
        with Client(self._url) as client:
            while not self._stopped.is_set():
                number = next(self._numbers)
                due = begun + number / self._rate
                if self._stopped.wait(max(0.0, due - time.perf_counter())):
                    break
                row = self._rows[number % len(self._rows)]
                request_id = f"demo-{number}"
                headers = {"x-user-id": f"user-{number * 7919 % _USERS}", "x-request-id": request_id}
                reply = client.infer(path, row.body, headers)
                self._count(reply)
                known.append({"id": request_id, "label": row.label})
                if len(known) >= _LABELS_AT_ONCE:
                    self._tell(client, known)
                    known = []

    def _count(self, reply: Reply) -> None:
        with self._lock:
            self.seen.requests += 1
            self.seen.by_version[reply.version] += 1
            if not reply.valid:
                self.seen.failed += 1
                self.seen.failures[reply.status, reply.said] += 1

    def _tell(self, client: Client, labels: list[dict[str, Any]]) -> None:
        status, _, _ = client.post(f"/models/{self._model}/labels", json.dumps(labels).encode())
        with self._lock:
            self.seen.labels += len(labels) if status == 200 else 0
