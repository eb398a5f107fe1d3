"""The watchdog as a server: it is well while it looks, and only then."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request

import pytest

from pipelines.services import watchdog as module
from pipelines.services.watchdog import TOO_OLD_S, Watchdog, serve


def asked(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_health_is_the_age_of_the_last_good_look(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    watchdog = Watchdog()
    server = serve(watchdog, port)
    try:
        url = f"http://127.0.0.1:{port}"
        assert asked(f"{url}/health") == 503, "nobody has looked yet"
        watchdog._looked_at = 100.0
        monkeypatch.setattr(module.time, "monotonic", lambda: 100.0 + TOO_OLD_S - 1)
        assert asked(f"{url}/health") == 200
        monkeypatch.setattr(module.time, "monotonic", lambda: 100.0 + TOO_OLD_S)
        assert asked(f"{url}/health") == 503
        assert asked(f"{url}/metrics") == 404
    finally:
        server.shutdown()
        server.server_close()
