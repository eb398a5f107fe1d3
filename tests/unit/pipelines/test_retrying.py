"""What a person who waits is told while Prefect's own client waits for its server."""

import logging
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

pytestmark = pytest.mark.slow
CLIENT = logging.getLogger("prefect.client")


class Busy(BaseHTTPRequestHandler):
    """A server that is overloaded at its first request, hangs up at its second, and answers then."""

    asked = 0

    def do_GET(self):
        type(self).asked += 1
        if self.asked == 2:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self.send_response(503 if self.asked == 1 else 200)
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def address():
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Busy", (Busy,), {}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/api"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def client(address):
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.settings import PREFECT_CLIENT_RETRY_JITTER_FACTOR, temporary_settings

    with temporary_settings({PREFECT_CLIENT_RETRY_JITTER_FACTOR: 0}), SyncPrefectClient(address) as made:
        yield made._client


def test_each_wait_for_the_server_is_told_and_nothing_afterwards(client, address):
    from pipelines.retrying import prefect_answers

    told = []
    before = CLIENT.level, list(CLIENT.handlers)
    with prefect_answers(address, told.append):
        assert client.get("/health").status_code == 200
        waits = f"waiting for the Prefect server at {address}; it is asked again in"
        assert told == [f"{waits} 0.0 s", f"{waits} 4 s"]
        client.get("/health")
    assert len(told) == 2
    assert (CLIENT.level, list(CLIENT.handlers)) == before


def test_who_listens_may_be_gone(client, address, monkeypatch):
    from pipelines.retrying import prefect_answers

    def gone(_text):
        raise BrokenPipeError

    monkeypatch.setattr(logging, "raiseExceptions", False)
    with prefect_answers(address, gone):
        assert client.get("/health").status_code == 200


def test_threads_that_wait_together_are_told_of_once(address):
    from pipelines.retrying import prefect_answers

    told = []
    with prefect_answers(address, told.append):
        for _ in range(3):
            CLIENT.debug("Encountered retryable exception during request. Another attempt will be made in 30.25s. …")
    assert told == [f"waiting for the Prefect server at {address}; it is asked again in 30.2 s"]
