"""From the ledger to the gateway: the router snapshot names what stands stable locally, by version and digest."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock

from components.errors import UnknownNameError
from components.release.ledger import Ledger
from components.release.store import Store
from components.stage.files import write_json
from components.types.release import Environment, PlacedModel, RouterSnapshot
from pipelines.state import LOCKS, ROUTER, STORE, ledger_url


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
    """Write what the gateway is to serve: every stable version of this machine's ledger.

    Raises:
        DigestMismatchError: stored bytes were changed; the snapshot is as it was.
    """
    (root / LOCKS).mkdir(parents=True, exist_ok=True)
    with FileLock(root / LOCKS / "router.lock"):  # or a slower writer would put back what it read before
        found = Ledger(ledger_url()).slots()
        slots = [slot for slot in found if slot.env is Environment.LOCAL and slot.stable is not None]
        models = {slot.model: stable_placement(slot.model, root) for slot in slots}
        snapshot = RouterSnapshot(sum(slot.rev for slot in slots), models)
        write_json(root / ROUTER, snapshot)
    return snapshot
