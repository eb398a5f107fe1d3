"""From the ledger to the gateway: the router snapshot names what stands stable locally, by version and digest."""

from __future__ import annotations

from pathlib import Path

from components.errors import UnknownNameError
from components.release.ledger import Ledger
from components.release.store import Store
from components.types.release import Environment, PlacedModel, RouterSnapshot
from pipelines.state import STORE, ledger_url


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
    recorded = ledger.version(model, number)
    directory = product_directory(model, number, recorded.digest, root)
    return PlacedModel(recorded.ref, directory.resolve(), recorded.runtime)


def product_directory(model: str, version: int, digest: str, root: Path) -> Path:
    """Return a product's folder in the store; one that is not there is fetched from the registry.

    Raises:
        DigestMismatchError: the bytes are not those that were registered.
        InfrastructureError: the registry cannot be reached.
    """
    store = Store(root / STORE)
    if digest not in store:
        from pipelines.promotion import fetch_into_store

        fetch_into_store(model, version, store, root)
    return store.path(digest)


def write_router(root: Path = Path()) -> RouterSnapshot:
    """Write what the local gateway is to serve: every stable version of this machine's ledger.

    Raises:
        DigestMismatchError: stored bytes were changed; the snapshot is as it was.
    """
    from pipelines.release.environments import load_environment
    from pipelines.release.snapshot import write_snapshot

    return write_snapshot(load_environment(Environment.LOCAL.value, root))
