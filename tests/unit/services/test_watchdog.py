"""The watchdog as a server: it is well while it looks, and only then."""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
from prefect.exceptions import ObjectNotFound

from pipelines.schedules.notices import Notice
from pipelines.schedules.watching import Watched
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


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[list[object]], list[float | None]]:
    """Give what runs the server's loop over some looks, and returns since when each says that the server was heard."""

    def run(outcomes: list[object]) -> list[float | None]:
        heard: list[float | None] = []
        coming = iter(outcomes)

        def watch(_client: object, _limits: object, _root: Path, heard_since: float | None) -> object:
            heard.append(heard_since)
            outcome = next(coming)
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(module, "watch", watch)
        monkeypatch.setattr(module, "serve", lambda *_: None)
        monkeypatch.setattr(module.time, "sleep", lambda _: None)
        monkeypatch.setattr(module.time, "time", itertools.count(1.0).__next__)
        monkeypatch.setattr("prefect.client.orchestration.get_client", lambda **_: contextlib.nullcontext(Mock()))
        monkeypatch.setattr(sys, "argv", ["watchdog", "--port", "0"])
        with pytest.raises(KeyboardInterrupt):
            module.main()
        return heard

    return run


FOUND = Watched((Notice("failed 1", "failed", "training-boxes", "it failed"),), (), 0, 0)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), ObjectNotFound(Exception())])
def test_whatever_a_look_meets_the_next_one_follows_and_judges_no_silence(
    error: Exception, ended: Callable[[list[object]], list[float | None]], capsys: pytest.CaptureFixture[str]
) -> None:
    heard = ended([FOUND, FOUND, error, FOUND, KeyboardInterrupt()])
    first, second, third, fourth, fifth = heard
    assert first == second == third
    assert fourth is not None
    assert third is not None
    assert fourth == fifth > third, "silence would be counted from before a look that failed"
    said = capsys.readouterr().out
    assert said.count("failed: it failed") == 3
    assert f"this look failed, {type(error).__name__}" in said


def test_a_log_on_a_full_disk_does_not_end_the_watchdog(
    ended: Callable[[list[object]], list[float | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.StringIO):
        def flush(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    assert len(ended([FOUND, FOUND, KeyboardInterrupt()])) == 3
