"""The watchdog as a server: ``python -m pipelines.services.watchdog --port N``. It is well while it looks.

It looks as `towpath schedule watch --every` does, and answers ``/health`` with 503 once its last good look is too old.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from components.errors import TowpathError
from pipelines.schedules.watchdog import Limits
from pipelines.schedules.watching import Watched, watch

EVERY_S = 15.0
TOO_OLD_S = 60.0
"""A killed run is to be noticed within this time, so that a watchdog which has not looked for as long is none."""


class Watchdog:
    """Looks again and again, and knows when it last could."""

    def __init__(self) -> None:
        """Nobody has looked yet."""
        self._looked_at: float | None = None
        self._heard_since: float | None = None

    def look(self, root: Path) -> Watched:
        """Look once.

        Raises:
            Exception: whatever went wrong: the server does not answer or knows no more what it named, the disk is
                full, a deployment's tags or the webhook cannot be used.
        """
        from prefect.client.orchestration import get_client

        try:
            with get_client(sync_client=True) as client:
                client.hello()
                self._heard_since = self._heard_since or time.time()
                found = watch(client, Limits(), root, self._heard_since)
        except Exception:
            self._heard_since = None  # no run is given up for an outage of the server's, nor for one of ours
            raise
        self._looked_at = time.monotonic()
        return found

    @property
    def is_well(self) -> bool:
        """Whether the last good look is young enough."""
        return self._looked_at is not None and time.monotonic() - self._looked_at < TOO_OLD_S


def serve(watchdog: Watchdog, port: int) -> ThreadingHTTPServer:
    """Answer ``/health`` on loopback from a thread of its own, and return the server."""

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response((200 if watchdog.is_well else 503) if self.path == "/health" else 404)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Keep quiet: the log is for what was found."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Health)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def told(watchdog: Watchdog, root: Path) -> list[str]:
    """Look once, and return what to say of it; whatever went wrong may be over at the next look."""
    try:
        found = watchdog.look(root)
    except TowpathError as error:
        return [str(error)]
    except Exception as error:  # nothing starts a watchdog again that ended
        return [f"this look failed, {type(error).__name__}: {' '.join(str(error).split())}; the next one follows"]
    return [f"{each.kind}: {each.sentence}" for each in found.notices] + list(found.problems)


def main() -> None:
    """Look until this process is stopped."""
    parser = argparse.ArgumentParser(description="Look after scheduled runs.")
    parser.add_argument("--port", type=int, required=True)
    watchdog = Watchdog()
    serve(watchdog, parser.parse_args().port)
    while True:
        lines = told(watchdog, Path())
        with contextlib.suppress(OSError):  # its log is on a disk that may be full
            sys.stdout.write("".join(f"{line}\n" for line in lines))
            sys.stdout.flush()
        time.sleep(EVERY_S)


if __name__ == "__main__":
    main()
