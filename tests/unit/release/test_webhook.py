"""Signed notices, received by a real server that verifies them with the Standard Webhooks library."""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from components.errors import ConfigError, InfrastructureError
from components.release.ledger import Ledger
from components.release.publishers.protocol import Publication
from components.release.publishers.webhook import Webhook
from components.release.records import Digests, Placement, RecordedVersion, Transition
from components.types.release import Environment, TrafficSplit
from tests.publications import EVENT

standardwebhooks = pytest.importorskip("standardwebhooks")

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
PUBLICATION = Publication(EVENT, TrafficSplit("taxi", 1, stable=1))

pytestmark = pytest.mark.slow


class Receiver:
    """An address that takes a notice once: verified, not too old, and not taken before."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.taken: dict[str, Any] = {}
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 204
        self.slow_s = 0.0
        self.headers: dict[str, str] = {}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.take(self.path, dict(self.headers.items()), body)
                time.sleep(receiver.slow_s)
                self.send_response(status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *arguments: Any) -> None:
                pass  # a client that hangs up is what some tests are about

        self._server = Server(("127.0.0.1", 0), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/release?team=a"

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        """Return the status of an answer; keeps what was verified."""
        self.requests.append((path, dict(headers), body))
        if self.status >= 300:
            return self.status
        try:
            content = standardwebhooks.Webhook(SECRET).verify(body, dict(headers))
        except standardwebhooks.WebhookVerificationError:
            return 400
        if headers["webhook-id"] in self.taken:
            return 200
        self.taken[headers["webhook-id"]] = content
        return self.status

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.stop()


def test_a_notice_is_verified_by_the_receivers_own_library_and_says_what_happened(receiver: Receiver) -> None:
    Webhook(receiver.url, SECRET).publish(PUBLICATION)
    notice = receiver.taken[EVENT.op_id]
    assert (notice["type"], notice["timestamp"]) == ("release.moved", EVENT.time)
    data = notice["data"]
    assert (data["model"], data["env"], data["rev"], data["version"]) == ("taxi", "production", 1, 1)
    assert (data["to_slot"], data["actor"], data["hash"]) == ({"stable": 1}, "ann", EVENT.hash)
    path, headers, _ = receiver.requests[0]
    assert path == "/hooks/release?team=a"
    assert headers["Content-Type"] == "application/json"


def test_telling_it_again_is_the_same_notice_and_is_taken_once(receiver: Receiver) -> None:
    webhook = Webhook(receiver.url, SECRET)
    webhook.publish(PUBLICATION)
    later = replace(PUBLICATION, split=TrafficSplit("taxi", 9, stable=2))  # told late: things moved on since
    webhook.publish(later)
    assert list(receiver.taken) == [EVENT.op_id]
    (_, first, body), (_, second, again) = receiver.requests
    assert body == again
    assert first["webhook-id"] == second["webhook-id"] == EVENT.op_id


@pytest.mark.parametrize("part", ["body", "webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_notice_that_was_changed_on_its_way_is_refused(receiver: Receiver, part: str) -> None:
    Webhook(receiver.url, SECRET).publish(PUBLICATION)
    path, headers, body = receiver.requests[0]
    receiver.taken.clear()
    changed = dict(headers)
    if part == "body":
        body = body.replace(b'"version":1', b'"version":2')
    elif part == "webhook-timestamp":
        changed[part] = str(int(changed[part]) + 1)
    elif part == "webhook-id":
        changed[part] = "another"
    else:
        changed[part] = "v1," + base64.b64encode(bytes(32)).decode()
    assert receiver.take(path, changed, body) == 400
    assert receiver.take(path, headers, receiver.requests[0][2]) == 204
    assert list(receiver.taken) == [EVENT.op_id]


def test_an_old_notice_that_is_played_again_is_refused(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    long_ago = (datetime.now(UTC) - timedelta(minutes=6)).timestamp()
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: long_ago)
        with pytest.raises(InfrastructureError, match="answered 400"):
            Webhook(receiver.url, SECRET).publish(PUBLICATION)
    assert receiver.taken == {}


def test_another_secret_is_refused(receiver: Receiver) -> None:
    other = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    with pytest.raises(InfrastructureError, match="answered 400"):
        Webhook(receiver.url, other).publish(PUBLICATION)
    assert receiver.taken == {}


@pytest.mark.parametrize("status", [301, 307, 400, 404, 410, 429, 500, 503])
def test_whatever_is_not_a_success_is_an_infrastructure_error_and_no_redirect_is_followed(
    receiver: Receiver, status: int
) -> None:
    receiver.status = status
    receiver.headers = {"Location": f"http://127.0.0.1:{receiver.port}/elsewhere"}
    with pytest.raises(InfrastructureError, match=f"answered {status}"):
        Webhook(receiver.url, SECRET).publish(PUBLICATION)
    assert [path for path, _, _ in receiver.requests] == ["/hooks/release?team=a"]


def test_a_receiver_that_takes_too_long_is_given_up(receiver: Receiver) -> None:
    receiver.slow_s = 1.0
    begun = time.monotonic()
    with pytest.raises(InfrastructureError, match="cannot be reached: timed out"):
        Webhook(receiver.url, SECRET, time_limit_s=0.2).publish(PUBLICATION)
    assert time.monotonic() - begun < 0.9


def test_an_error_names_the_host_and_neither_the_path_nor_the_secret(free_port: Callable[[], int]) -> None:
    port = free_port()
    with pytest.raises(InfrastructureError) as raised:
        Webhook(f"http://127.0.0.1:{port}/hooks/a-token?key=hidden", SECRET).publish(PUBLICATION)
    words = str(raised.value)
    assert f"http://127.0.0.1:{port} cannot be reached" in words
    assert not any(hidden in words for hidden in ("a-token", "hidden", SECRET))


def test_a_server_that_nobody_vouches_for_is_not_told(tmp_path: Path) -> None:
    if which("openssl") is None:
        pytest.skip("openssl is not on the path")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "1", "-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost"]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    receiver = Receiver(context)
    try:
        with pytest.raises(InfrastructureError, match="certificate verify failed"):
            Webhook(f"https://localhost:{receiver.port}/hook", SECRET, time_limit_s=5.0).publish(PUBLICATION)
    finally:
        receiver.stop()
    assert receiver.requests == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://example.org/hook", "at example.org is http"),
        ("http://10.0.0.7/hook", "is http"),
        ("http://127.0.0.1.example.org/hook", "is http"),
        ("http://localhost@example.org/hook", "has a password in it"),
        ("https://user:word@example.org/hook", "has a password in it"),
        ("ftp://example.org/hook", "is none"),
        ("https:///hook", "is none"),
        ("https://example.org:port/hook", "is none"),
        ("", "is none"),
    ],
)
def test_an_address_that_others_could_read_or_that_is_none_is_a_configuration_error(url: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as raised:
        Webhook(url, SECRET)
    assert "word@" not in str(raised.value)


@pytest.mark.parametrize("url", ["http://localhost/a", "http://[::1]:9/a", "http://127.0.0.1", "https://example.org/a"])
def test_https_and_this_machine_are_allowed(url: str) -> None:
    Webhook(url, SECRET)


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "hunter2", "whsec_" + base64.b64encode(bytes(23)).decode(), "whsec_" + "A" * 89 + "=", "ä" * 40],
)
def test_a_weak_secret_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ConfigError, match="24 to 64 bytes in base64") as raised:
        Webhook("https://example.org/hook", secret)
    assert not secret or secret == "whsec_" or secret not in str(raised.value)


def test_a_receiver_that_is_down_leaves_the_row_until_it_is_up_again(tmp_path: Path) -> None:
    ledger = _ledger_with_one_event(f"sqlite:///{tmp_path / 'ledger.db'}")
    receiver = Receiver()
    webhook = Webhook(receiver.url, SECRET)
    receiver.status = 503
    for attempt in (1, 2):
        _work_on_the_outbox(ledger, webhook)
        (row,) = ledger.pending(Environment.PRODUCTION)
        assert (row.sink, row.attempts) == ("publisher:webhook", attempt)
        assert "answered 503" in row.error
    receiver.status = 204
    _work_on_the_outbox(ledger, webhook)
    receiver.stop()
    assert ledger.pending(Environment.PRODUCTION) == ()
    (event,) = ledger.events("taxi", Environment.PRODUCTION)
    assert list(receiver.taken) == [event.op_id]
    assert len({body for _, _, body in receiver.requests}) == 1


def _ledger_with_one_event(url: str) -> Ledger:
    ledger = Ledger(url)
    digest = "a" * 64
    ledger.record_version(RecordedVersion("taxi", 1, digest, "d" * 64, "onnx", "ann"))
    digests = Digests(digest, "d" * 64, "c" * 40, "l" * 64, "g" * 64, "e" * 64)
    ledger.commit(
        Transition(
            model="taxi",
            env=Environment.PRODUCTION,
            expected_rev=0,
            version=1,
            target="stable",
            to=Placement(stable=1),
            digests=digests,
            actor="ann",
            reason="it passed",
        ),
        sinks=("publisher:webhook",),
    )
    return ledger


def _work_on_the_outbox(ledger: Ledger, webhook: Webhook) -> None:
    for row in ledger.pending(Environment.PRODUCTION):
        (event,) = ledger.events(row.model, row.env, after_rev=row.rev - 1)
        try:
            webhook.publish(Publication(event, TrafficSplit(row.model, row.rev, stable=1)))
        except InfrastructureError as error:
            ledger.failed(row, str(error))
        else:
            ledger.applied(row)


def test_the_body_is_json_that_says_nothing_secret(receiver: Receiver) -> None:
    Webhook(receiver.url, SECRET).publish(PUBLICATION)
    body = receiver.requests[0][2]
    assert set(json.loads(body)) == {"type", "timestamp", "data"}
    assert SECRET.removeprefix("whsec_").encode() not in body
