"""Requests at a fixed rate, whether or not the server keeps up. Measures; judges nothing.

Open loop: a request is due at its time. One that has to wait for a connection has its wait counted as latency, so a
server that stalls cannot hide it by slowing its clients down.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count

from components.release.guards.evidence import LoadEvidence
from pipelines.release.client import Client
from pipelines.release.requests import RequestRow
from pipelines.release.sandbox import Progress, Sandbox, percentile_ms

CONNECTIONS = 8


def load_test(
    box: Sandbox, rows: Sequence[RequestRow], requests_per_s: float, seconds: float, progress: Progress
) -> LoadEvidence:
    """Send `requests_per_s` for `seconds` over a few connections, and say what came of it."""
    total = max(1, round(requests_per_s * seconds))
    numbers, lock, latencies, failed = count(), threading.Lock(), [], [0]
    begun = time.perf_counter()

    def send() -> None:
        with Client(box.url) as client:
            while (number := next(numbers)) < total:  # `next` of a counter is one step of the interpreter
                due = begun + number / requests_per_s
                time.sleep(max(0.0, due - time.perf_counter()))
                reply = client.infer(box.path, rows[number % len(rows)].body)
                with lock:
                    latencies.append(time.perf_counter() - due)
                    failed[0] += not reply.valid
                    progress(len(latencies), total)

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for sender in [pool.submit(send) for _ in range(CONNECTIONS)]:
            sender.result()
    took = time.perf_counter() - begun
    return LoadEvidence(
        product_digest=box.digest,
        requests_per_s=(total - failed[0]) / max(took, total / requests_per_s),
        seconds=took,
        failed=failed[0],
        p99_ms=percentile_ms(latencies, 0.99),
    )
