"""What one client may send, byte by byte: sizes, times, numbers of connections. Nothing here may harm the gateway."""

import json
import socket
import threading
import time

import pytest

pytestmark = pytest.mark.slow
ROW = b'{"inputs": {"x": [1.5]}}'
HEAD = b"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"


@pytest.fixture
def limited(running, products):
    running.place(1, ("sum", 1, products["sum"]))
    return running.start("--time-s", "0.8", "--connections", "20", "--body-bytes", "20000")


def exchange(port, *parts, pause_s=0.0, until_closed=True):
    """Send parts and return all that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        for part in parts:
            try:
                connection.sendall(part)
            except OSError:  # refused while still sending
                break
            time.sleep(pause_s)
        received = b""
        while until_closed or b"\r\n\r\n" not in received:
            try:
                more = connection.recv(65_536)
            except OSError:
                break
            if not more:
                break
            received += more
        return received


def parsed(received):
    """Return (status, sentence) of the last response."""
    head, _, body = received.rpartition(b"\r\n\r\n")
    start = head.rindex(b"HTTP/1.1 ")
    return int(head[start + 9 : start + 12]), json.loads(body)["error"]


def is_well(limited):
    status, content = limited.ask("POST", "/invocations", ROW, Content_Type="application/json")
    assert (status, content["predictions"]) == (200, [{"prediction": 1.5}])
    assert limited.metric("towpath_gateway_in_flight") == 0
    assert "Traceback" not in limited.log()


def test_a_body_sent_too_slowly_is_given_up(limited):
    started = time.monotonic()
    received = exchange(limited.port, HEAD + b"Content-Length: 24\r\n\r\n", *[b"{"] * 12, pause_s=0.2)
    status, sentence = parsed(received)
    assert (status, sentence) == (408, "the request was not complete within 0.8 s")
    assert time.monotonic() - started < 5
    is_well(limited)


def test_headers_sent_too_slowly_are_given_up(limited):
    received = exchange(limited.port, b"POST /invocations HTTP/1.1\r\n", *[b"A: b\r\n"] * 12, pause_s=0.2)
    assert parsed(received)[0] == 408
    is_well(limited)


def test_a_second_request_on_a_connection_has_the_same_time_limit(limited):
    whole = HEAD + b"Content-Length: 24\r\n\r\n" + ROW
    received = exchange(limited.port, whole, HEAD + b"Content-Length: 24\r\n\r\n{", pause_s=0.3)
    assert received.startswith(b"HTTP/1.1 200")
    assert parsed(received)[0] == 408
    is_well(limited)


def test_an_idle_connection_may_stay(limited):
    with socket.create_connection(("127.0.0.1", limited.port), timeout=60) as connection:
        for _ in range(2):
            time.sleep(1.2)
            connection.sendall(HEAD + b"Content-Length: 24\r\n\r\n" + ROW)
            assert connection.recv(4_096).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /v2 HTTP/1.1\r\nA: " + b"a" * 40_000 + b"\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\n" + b"A: b\r\n" * 5_000 + b"\r\n",
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nA: " + b"a" * 4_000_000,
    ],
)
def test_headers_that_are_too_long_are_refused(limited, head):
    received = exchange(limited.port, head)
    if received:  # a client that is still sending may see the connection end instead
        assert parsed(received)[0] == 431
    is_well(limited)


@pytest.mark.parametrize(
    "noise",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"HELLO\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /v2 HTTP/9.9\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\n\r\n",
        b"POST /invocations HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST /invocations HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /invocations HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /invocations HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"OPTIONS * HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n\r\n",
    ],
)
def test_noise_is_refused_as_json_and_never_a_fault(limited, noise):
    received = exchange(limited.port, noise)
    status, _ = parsed(received)
    assert 400 <= status < 500
    is_well(limited)


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c"])
def test_an_upgrade_is_passed_over(limited, protocol):
    head = b"GET /v2/health/live HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: " + protocol
    received = exchange(limited.port, head + b"\r\n\r\n", until_closed=False)
    assert received.startswith(b"HTTP/1.1 200")
    is_well(limited)


def test_a_chunked_body_is_read_up_to_the_limit(limited):
    head = HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    received = exchange(limited.port, head, b"10\r\n" + ROW[:16] + b"\r\n", b"8\r\n" + ROW[16:] + b"\r\n0\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 200")
    chunk = b"400\r\n" + b"1" * 1_024 + b"\r\n"
    received = exchange(limited.port, head, *[chunk] * 30, b"0\r\n\r\n")
    assert parsed(received)[0] == 413
    is_well(limited)


def test_a_body_far_beyond_the_limit_is_refused_with_the_sentence(limited):
    body = b"1" * 1_000_000
    received = exchange(limited.port, HEAD + b"Content-Length: %d\r\n\r\n" % len(body), body)
    assert parsed(received) == (413, "the body is longer than 20000 bytes; send fewer rows, or use `towpath predict`")
    is_well(limited)


def test_an_announced_body_is_refused_before_it_is_sent(limited):
    head = HEAD + b"Content-Length: 99999999\r\nExpect: 100-continue\r\n\r\n"
    started = time.monotonic()
    assert parsed(exchange(limited.port, head))[0] == 413
    assert time.monotonic() - started < 10


def test_more_connections_than_the_limit_are_turned_away(limited):
    held = [socket.create_connection(("127.0.0.1", limited.port), timeout=60) for _ in range(20)]
    try:
        limited.wait_for(lambda: b"HTTP/1.1 503 " in exchange(limited.port))
        assert "20 connections" in parsed(exchange(limited.port))[1]
    finally:
        for connection in held:
            connection.close()
    limited.wait_for(lambda: is_let_in(limited))
    is_well(limited)


def is_let_in(limited):
    try:
        return limited.ask("POST", "/invocations", ROW, Content_Type="application/json")[0] == 200
    except OSError:  # turned away while still sending
        return False


def test_a_hundred_slow_clients_do_not_stop_a_quick_one(running, products):
    running.place(1, ("sum", 1, products["sum"]))
    running.start("--time-s", "2")
    dripping = [socket.create_connection(("127.0.0.1", running.port), timeout=60) for _ in range(100)]
    for connection in dripping:
        connection.sendall(HEAD + b"Content-Length: 24\r\n\r\n{")
    times = []
    for _ in range(20):
        started = time.monotonic()
        assert running.ask("POST", "/invocations", ROW, Content_Type="application/json")[0] == 200
        times.append(time.monotonic() - started)
    assert sorted(times)[10] < 0.1
    running.wait_for(
        lambda: running.metric('towpath_gateway_requests_total{code="408",model="",role="",version=""}') == 100
    )
    for connection in dripping:
        connection.close()
    is_well(running)


def test_beyond_the_cap_requests_are_refused(running, products):
    running.place(1, ("slow", 1, products["slow"]))
    running.start("--in-flight", "2", "--time-s", "30")
    answers = []

    def ask():
        answers.append(running.ask("POST", "/invocations", {"inputs": {"x": [1.0] * 4}})[0])

    askers = [threading.Thread(target=ask) for _ in range(6)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(120)
    assert sorted(set(answers)) == [200, 429]
    assert answers.count(200) >= 2


def test_a_computation_that_takes_too_long_is_given_up(running, products):
    running.place(1, ("slow", 1, products["slow"]))
    running.start("--time-s", "0.5")
    status, content = running.ask("POST", "/invocations", {"inputs": {"x": [1.0] * 20}})
    assert (status, content["error"]) == (503, "20 rows took longer than 0.5 s; send fewer at once")
    assert running.ask("GET", "/v2/health/live")[0] == 200
