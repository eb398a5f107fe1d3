"""Requests at a fixed rate, whether or not the server keeps up. Measures; judges nothing.

Open loop: a request is due at its time. One that has to wait for a connection has its wait counted as latency, so that
a server that stalls cannot hide it by slowing its clients down. A little more is sent than is asked for: a server that
keeps up has then answered the rate itself when the time is over.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from math import ceil
from typing import NamedTuple

from components.release.guards.evidence import LoadEvidence
from pipelines.release.client import Client
from pipelines.release.requests import RequestRow
from pipelines.release.sandbox import Progress, Sandbox, percentile_ms

_MORE = 1.05
_PER_CONNECTION = 10
"""Requests a second that one connection is asked for: it keeps up as long as an answer takes less than 100 ms."""
_CONNECTIONS = (4, 64)


class _Answer(NamedTuple):
    latency_s: float
    valid: bool
    in_time: bool


def load_test(
    box: Sandbox, rows: Sequence[RequestRow], requests_per_s: float, seconds: float, progress: Progress
) -> LoadEvidence:
    """Send rows for some seconds over a few connections, and say what came of it."""
    total = ceil(requests_per_s * seconds * _MORE)
    numbers = count()
    answers: list[_Answer] = []
    begun = time.perf_counter()

    def send() -> None:
        with Client(box.url) as client:
            while (number := next(numbers)) < total:  # a counter's `next` is one step of the interpreter
                due = begun + number * seconds / total
                time.sleep(max(0.0, due - time.perf_counter()))
                valid = client.infer(box.path, rows[number % len(rows)].body).valid
                now = time.perf_counter()
                answers.append(_Answer(now - due, valid, now <= begun + seconds))
                progress(len(answers), total)

    fewest, most = _CONNECTIONS
    connections = min(most, max(fewest, ceil(requests_per_s / _PER_CONNECTION)))
    with ThreadPoolExecutor(connections) as pool:
        for sender in [pool.submit(send) for _ in range(connections)]:
            sender.result()
    return LoadEvidence(
        product_digest=box.digest,
        requests_per_s=sum(each.valid and each.in_time for each in answers) / seconds,
        seconds=seconds,
        failed=sum(not each.valid for each in answers),
        p99_ms=percentile_ms([each.latency_s for each in answers], 0.99),
    )
