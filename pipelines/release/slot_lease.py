"""The right to work alone on a slot: its lease in the ledger, waited for, and given back however the work ends."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from components.errors import AlreadyRunningError, TowpathError
from components.release.records import Lease
from pipelines.release.environments import EnvironmentConfig

_POLL_S = 0.1


def lease_name(env: EnvironmentConfig, model: str) -> str:
    """Return what whoever works on a model's slot in an environment holds meanwhile."""
    return f"rollout/{model}/{env.name.value}"


@contextmanager
def slot_lease(env: EnvironmentConfig, model: str, held_s: float, wait_s: float) -> Iterator[Lease]:
    """Hold a slot's lease for the block.

    Args:
        env: Where.
        model: The slot's model.
        held_s: For how long, at most; a process that dies keeps others away for so long.
        wait_s: How long to wait for somebody else, as a tick, to be done.

    Raises:
        AlreadyRunningError: somebody else holds it all that time.
        InfrastructureError: the ledger cannot be reached.
    """
    ledger = env.ledger()
    lease = _acquired(env, model, held_s, time.monotonic() + wait_s)
    try:
        yield lease
    finally:
        with suppress(TowpathError):  # it ends by itself, and what was done is done
            ledger.release(lease)


def _acquired(env: EnvironmentConfig, model: str, held_s: float, deadline: float) -> Lease:
    holder = f"{socket.gethostname()}:{os.getpid()}"
    while True:
        try:
            return env.ledger().acquire(lease_name(env, model), holder, held_s)
        except AlreadyRunningError as error:
            if time.monotonic() >= deadline:
                raise AlreadyRunningError(f"somebody else is at work on {model} in {env.name}: {error}") from error
        time.sleep(_POLL_S)
