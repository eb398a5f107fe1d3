"""What a person who waits is told while Prefect's own client waits for its server."""

import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

pytestmark = pytest.mark.slow


class Busy(BaseHTTPRequestHandler):
    """A server that is overloaded twice, and answers then."""

    asked = 0

    def do_GET(self):
        type(self).asked += 1
        self.send_response(503 if self.asked <= 2 else 200)
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


def test_each_wait_for_the_server_is_told_and_nothing_afterwards(address):
    from prefect.client.orchestration import SyncPrefectClient

    from pipelines.retrying import prefect_answers

    told = []
    client_log = logging.getLogger("prefect.client")
    before = client_log.level, list(client_log.handlers)
    with SyncPrefectClient(address) as client, prefect_answers(address, told.append):
        client._client.get("/health")
        assert told == [f"the Prefect server at {address} does not answer; it is asked again in 0 s"] * 2
        client._client.get("/health")
    assert len(told) == 2
    assert (client_log.level, list(client_log.handlers)) == before
