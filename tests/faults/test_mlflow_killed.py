"""MLflow is killed while versions are registered: none is lost, none is there twice, and each has its bytes."""

from __future__ import annotations

import http.client
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import pytest

from components.errors import InfrastructureError
from components.registry.registry import DATASET_TAG, Registry
from components.registry.request import RegistrationRequest
from components.tracking.tracker import Tracker
from components.types.product import ProductRef
from tests.conftest import MlflowServer

FULL = bool(os.environ.get("TOWPATH_FULL"))
REGISTRATIONS = 1_600 if FULL else 40
KILLS = 3 if FULL else 2
UNANSWERED = 5 if FULL else 1
WRITERS = 4
FETCHED = 100 if FULL else 5


class Proxy(ThreadingHTTPServer):
    """Passes everything on to MLflow; when armed, it answers nothing of a version that was made, and kills MLflow.

    When it is not deadly, MLflow lives on, and its own client asks for the same version a second time.
    """

    daemon_threads = True

    def __init__(self, server: MlflowServer) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.server, self.armed, self.strikes, self.deadly = server, threading.Event(), 0, True
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Passing(BaseHTTPRequestHandler):
    server: Proxy

    def log_message(self, *_: object) -> None:
        pass

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        address = urlsplit(self.server.server.url).netloc
        try:
            with closing(http.client.HTTPConnection(address, timeout=60)) as upstream:
                upstream.request(self.command, self.path, body, dict(self.headers))
                answer = upstream.getresponse()
                content = answer.read()
        except (OSError, http.client.HTTPException):
            self.close_connection = True
            return
        if self.path.endswith("/model-versions/create") and answer.status == 200 and self.server.armed.is_set():
            self.server.armed.clear()
            if self.server.deadly:
                self.server.server.kill()
            self.server.strikes += 1
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"transfer-encoding", "content-length", "connection"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on  # noqa: N815


@dataclass
class Tally:
    """What the writers were told: dataset digest → version."""

    acknowledged: dict[str, int]
    interrupted: int = 0


@pytest.fixture
def tracker(fragile_mlflow_server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # so that some calls fail, and some are sent again
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
    return Tracker(fragile_mlflow_server.url, tmp_path)


@pytest.fixture
def proxy(fragile_mlflow_server: MlflowServer) -> Iterator[Proxy]:
    made = Proxy(fragile_mlflow_server)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def register(registry: Registry, request: RegistrationRequest, tally: Tally) -> None:
    """Register as the pipeline does: what a dead server interrupted is registered again."""
    deadline = time.monotonic() + 120
    while True:
        try:
            version = registry.register(request).version
        except InfrastructureError:
            tally.interrupted += 1
            assert time.monotonic() < deadline
            time.sleep(0.2)
        else:
            tally.acknowledged[request.lineage.dataset_digest] = version
            return


def kill_now_and_then(server: MlflowServer, tally: Tally, wanted: int, over: threading.Event) -> None:
    """Kill the server at random moments, spread over the registrations, and start it again."""
    random = Random(20261121)
    for number in range(1, KILLS + 1):
        while len(tally.acknowledged) < wanted * number / (KILLS + 1) and not over.is_set():
            time.sleep(0.01)
        time.sleep(random.uniform(0.0, 0.5))
        server.kill()
        server.start()


def require_each_once(tracker: Tracker, model: str, tally: Tally) -> None:
    """Compare with the versions that MLflow itself has, duplicates and all."""
    client, found, token = tracker.connection.client, [], None
    while True:
        page = client.search_model_versions(f"name = '{model}'", max_results=1000, page_token=token)
        found += page
        token = page.token
        if not token:
            break
    there = sorted((each.tags[DATASET_TAG], int(each.version)) for each in found)
    assert there == sorted(tally.acknowledged.items())


def test_none_is_lost_and_none_is_there_twice(
    tracker: Tracker,
    fragile_mlflow_server: MlflowServer,
    proxy: Proxy,
    request_for: Callable[..., RegistrationRequest],
    table_product: ProductRef,
    tmp_path: Path,
) -> None:
    registry, tally, over = Registry(tracker.connection), Tally({}), threading.Event()
    first = request_for(table_product)
    requests = [
        request_for(table_product, dataset_digest=f"{each:064x}") for each in range(REGISTRATIONS + UNANSWERED + 1)
    ]
    register(registry, first, tally)  # imports and connections are warm from here on
    begun = time.monotonic()
    killer = threading.Thread(target=kill_now_and_then, args=(fragile_mlflow_server, tally, REGISTRATIONS, over))
    killer.start()
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda each: register(registry, each, tally), requests[:REGISTRATIONS]))
    over.set()
    killer.join()
    assert tally.interrupted, "no kill met a registration"
    took_s = time.monotonic() - begun
    require_each_once(tracker, first.lineage.model, tally)

    behind = Registry(Tracker(proxy.url, tmp_path).connection)
    for each in requests[REGISTRATIONS:-1]:
        proxy.armed.set()
        reviver = threading.Thread(target=revive, args=(proxy, proxy.strikes + 1))
        reviver.start()
        register(behind, each, tally)
        reviver.join()
    proxy.deadly = False
    proxy.armed.set()
    register(behind, requests[-1], tally)
    assert proxy.strikes == UNANSWERED + 1
    require_each_once(tracker, first.lineage.model, tally)

    versions = list(tally.acknowledged.values())
    for version in versions[:: max(1, len(versions) // FETCHED)]:
        fetched = registry.fetch_product(first.lineage.model, version, tmp_path / f"product-{version}")
        assert fetched.digest == table_product.digest
    print(
        f"{REGISTRATIONS} registrations in {took_s:.0f} s with {KILLS} kills, "
        f"{UNANSWERED + 1} more made and not answered; {tally.interrupted} calls were interrupted; "
        f"{len(tally.acknowledged)} versions, each once",
        file=sys.stderr,
    )


def revive(proxy: Proxy, strikes: int) -> None:
    """Start the server again after its next death."""
    deadline = time.monotonic() + 60
    while proxy.strikes < strikes and time.monotonic() < deadline:
        time.sleep(0.01)
    proxy.server.start()
