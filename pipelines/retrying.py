"""How Prefect tries a task again, and what becomes of a run while its server is away. Knows no flow."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker

from components.errors import InfrastructureError


def is_infrastructure(_task: Any, _run: Any, state: Any) -> bool:
    """Say whether a failed task may be tried again: only a server or a disk that failed is worth it."""
    return isinstance(state.data, InfrastructureError)


TASK_OPTIONS: dict[str, Any] = {
    "retries": 2,
    "retry_delay_seconds": [2, 10],
    "retry_condition_fn": is_infrastructure,
    "cache_policy": NO_CACHE,
    "persist_result": False,
}
"""What every task has: a few tries more, and no cache, which is DVC's."""


_NEXT_ATTEMPT = re.compile(r"Another attempt will be made in (\d+(?:\.\d)?)\d*s")


@contextmanager
def prefect_answers(address: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Turn a server that is not there, or stayed away longer than Prefect's client waits for it, into a sentence.

    Args:
        address: Where the server's API is.
        tell: Hears whenever the client is about to wait for the server; from any thread.

    Raises:
        InfrastructureError: the server cannot be reached.
    """
    client, waits = logging.getLogger("prefect.client"), _Waits(address, tell)
    before = client.level
    client.addHandler(waits)
    client.setLevel(logging.DEBUG)  # at which it says that it tries again
    try:
        yield
    except (httpx.TransportError, RuntimeError) as error:  # a RuntimeError is what it raises of a first call
        away = error if isinstance(error, httpx.TransportError) else error.__cause__
        if not isinstance(away, httpx.TransportError):
            raise
        raise InfrastructureError(
            f"the Prefect server at {address} cannot be reached ({away}); what was done is kept: run the same command "
            "again when it is back, or without PREFECT_API_URL to use a server of its own"
        ) from error
    finally:
        client.setLevel(before)
        client.removeHandler(waits)


class _Waits(logging.Handler):
    """Tells of a server that Prefect's client waits for; nothing else would show that a run does."""

    def __init__(self, address: str, tell: Callable[[str], None]) -> None:
        super().__init__(logging.DEBUG)
        self._address, self._tell, self._told_until_s = address, tell, 0.0

    def emit(self, record: logging.LogRecord) -> None:
        found = _NEXT_ATTEMPT.search(record.getMessage())
        now_s = time.monotonic()
        if found is None or now_s < self._told_until_s:  # several threads wait for the same server
            return
        self._told_until_s = now_s + float(found[1])
        try:
            self._tell(f"waiting for the Prefect server at {self._address}; it is asked again in {found[1]} s")
        except Exception:  # whoever listens may be gone, and Prefect's client must not fail for it
            self.handleError(record)


def deliver(model: str) -> None:
    """Send what Prefect keeps back of logs and of tasks' states, before the process, or a supervised server, ends.

    States that were reported while the server was away wait in its client for the next event, so there is one more.
    """
    emit_event("towpath.run.ended", resource={"prefect.resource.id": f"towpath.model.{model}"})
    EventsWorker.drain_all(timeout=10)
    APILogWorker.drain_all(timeout=5)
