"""From the ledger to the gateway: the router snapshot names what stands stable locally, by version and digest."""

from __future__ import annotations

from pathlib import Path

from components.errors import UnknownNameError
from components.release.ledger import Ledger
from components.types.release import Environment, PlacedModel, RouterSnapshot
from pipelines.state import ledger_url


def stable_placement(model: str, root: Path = Path(), version: int | None = None) -> PlacedModel:
    """Return a model's stable version, or another recorded one, with its bytes in the store and checked.

    Raises:
        UnknownNameError: nothing is stable yet, or the version was never registered.
        DigestMismatchError: the stored bytes were changed.
    """
    ledger = Ledger(ledger_url())
    number = ledger.slot(model, Environment.LOCAL).stable if version is None else version
    if number is None:
        raise UnknownNameError(f"{model} has no stable version yet; `towpath run {model}` makes one")
    from pipelines.release.environments import load_environment

    return load_environment(Environment.LOCAL.value, root).place(ledger.version(model, number).ref)


def write_router(root: Path = Path()) -> RouterSnapshot:
    """Write what the local gateway is to serve: every stable version of this machine's ledger.

    Raises:
        DigestMismatchError: stored bytes were changed; the snapshot is as it was.
    """
    from pipelines.release.environments import load_environment
    from pipelines.release.snapshot import write_snapshot

    return write_snapshot(load_environment(Environment.LOCAL.value, root))
