"""The load test tells a server that keeps up from one that does not, and from one that fails."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from components.release.guards.evidence import LoadEvidence
from pipelines.release.load_test import load_test
from pipelines.release.requests import RequestRow
from pipelines.release.sandbox import Sandbox, percentile_ms

pytestmark = pytest.mark.slow

ANSWER = json.dumps({"outputs": [{"name": "prediction", "data": [1.0]}]}).encode()


@contextmanager
def server(answer: Callable[[], tuple[int, bytes]]) -> Iterator[Sandbox]:
    """Run a server that answers every request by a function."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, body = answer()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.daemon_threads = True
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    try:
        yield Sandbox(f"http://127.0.0.1:{made.server_address[1]}", "/infer", "d" * 64)
    finally:
        made.shutdown()
        thread.join()
        made.server_close()


def measured(answer: Callable[[], tuple[int, bytes]], requests_per_s: float = 20) -> LoadEvidence:
    with server(answer) as box:
        return load_test(box, [RequestRow(b"{}", None)], requests_per_s, 1.0, lambda _done, _total: None)


def test_a_server_that_keeps_up_sustains_what_is_asked_for() -> None:
    found = measured(lambda: (200, ANSWER))
    assert found.requests_per_s >= 20
    assert (found.seconds, found.failed) == (1.0, 0)


def test_a_server_that_is_too_slow_cannot_hide_it_by_slowing_its_clients() -> None:
    def slowly() -> tuple[int, bytes]:
        time.sleep(0.5)
        return 200, ANSWER

    found = measured(slowly)
    assert found.requests_per_s < 20
    assert found.failed == 0
    assert found.p99_ms > 1_000  # an answer takes 500 ms; the rest is waiting for a connection


@pytest.mark.parametrize(
    "answer",
    [(500, ANSWER), (200, b"{}"), (200, b"not JSON"), (200, b'{"outputs": [{"name": "prediction", "data": []}]}')],
    ids=["an error", "no outputs", "no JSON", "no prediction"],
)
def test_an_answer_that_a_client_cannot_use_has_failed(answer: tuple[int, bytes]) -> None:
    found = measured(lambda: answer)
    assert found.failed == 21
    assert found.requests_per_s == 0


def test_a_percentile_is_a_latency_that_was_measured() -> None:
    assert percentile_ms([0.003, 0.001, 0.002], 0.95) == pytest.approx(3)
    assert percentile_ms([0.001 * each for each in range(1, 101)], 0.95) == pytest.approx(96)
    assert percentile_ms([0.007], 0.5) == pytest.approx(7)
