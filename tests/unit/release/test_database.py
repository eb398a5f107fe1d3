"""Connections to a ledger in PostgreSQL: how long they wait for a machine that is gone."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Iterator

import psycopg2
import pytest
from sqlalchemy import event

from components.release.database import Database


@pytest.fixture
def port() -> Iterator[int]:
    """Give the port of a server that lets anybody in, as PostgreSQL does with `trust`, and says no more."""
    told = [b"client_encoding\0UTF8\0", b"DateStyle\0ISO\0"]
    messages = [(b"R", struct.pack("!i", 0)), *((b"S", each) for each in told), (b"Z", b"I")]
    hello = b"".join(kind + struct.pack("!i", 4 + len(body)) + body for kind, body in messages)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(4096)
                        connection.sendall(hello)
                        connection.recv(4096)  # until the other side goes

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


def socket_options(port: int, query: str = "") -> dict[str, int]:
    """Return how the socket of a connection, made as the ledger makes it, watches its peer."""
    database = Database(f"postgresql://towpath@127.0.0.1:{port}/ledger?sslmode=disable&gssencmode=disable{query}", 5.0)
    found: dict[str, int] = {}

    @event.listens_for(database.engine, "do_connect")
    def connect(_dialect: object, _record: object, arguments: list[object], named: dict[str, object]) -> None:
        with (
            contextlib.closing(psycopg2.connect(*arguments, **named)) as connection,
            socket.socket(fileno=os.dup(connection.fileno())) as opened,
        ):
            found["keepalive"] = opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT"):
                found[name] = opened.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
        raise psycopg2.OperationalError("seen")

    with pytest.raises(Exception, match="seen"):
        database.engine.connect()
    return found


def test_a_machine_that_is_gone_is_noticed_before_the_next_look_is_due(port: int) -> None:
    found = socket_options(port)
    assert found["keepalive"] == 1
    assert 0 < found["TCP_KEEPIDLE"] + found["TCP_KEEPCNT"] * found["TCP_KEEPINTVL"] < 55, "while nothing is sent"
    assert 0 < found["TCP_USER_TIMEOUT"] < 55_000, "while something is"


def test_what_the_url_says_of_it_holds(port: int) -> None:
    found = socket_options(port, "&keepalives_idle=7&tcp_user_timeout=9000")
    assert (found["TCP_KEEPIDLE"], found["TCP_USER_TIMEOUT"]) == (7, 9000)
    assert found["TCP_KEEPCNT"] == socket_options(port)["TCP_KEEPCNT"]
