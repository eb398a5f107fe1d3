"""From one registry or store to another: the same bytes, the same lineage, the same number. Decides nothing."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from components.errors import DigestMismatchError
from components.release.store import Store
from components.types.release import ModelRef
from pipelines.recording import open_connection
from pipelines.state import STATE

if TYPE_CHECKING:
    from components.registry.carried import CarriedRegistry
    from components.registry.registry import Registry


def open_registry(uri: str | None, root: Path) -> Registry:
    """Return the registry at an address of an environment's own, or the common one.

    Raises:
        ConfigError: the address is of a kind that is not supported.
    """
    from components.registry.registry import Registry

    if uri is None:
        return Registry(open_connection(root))
    from components.registry.carried import CarriedRegistry
    from components.tracking.connection import connect

    return CarriedRegistry(connect(uri))


def carry(source: Registry, target: CarriedRegistry, ref: ModelRef, came_from: str, root: Path) -> None:
    """Register a version in another registry, with its lineage and native files; again changes nothing.

    Args:
        source: Where it is.
        target: Where it is to be.
        ref: The version.
        came_from: The environment that it comes from, for people.
        root: The project; an MLflow that is a database of this machine keeps its files there.

    Raises:
        UnknownNameError: the source has no such version.
        DigestMismatchError: the bytes are not those that were registered, or the number is taken by others.
        InfrastructureError: a registry cannot be reached; carrying again is safe.
    """
    from components.registry.carried import fetch_request
    from components.tracking.tracker import RunStatus, Tracker

    if target.has(ref.model, ref.version):
        return
    uri = target.uri
    files = (root / STATE / "mlflow-artifacts-of-environments").resolve() if uri.startswith("sqlite:") else None
    tracker = Tracker(uri, files)
    tags = {"towpath.carried_from": came_from, "towpath.version": str(ref.version)}
    with TemporaryDirectory(prefix="towpath-carry-") as folder:
        run = tracker.start_pipeline_run(ref.model, tags=tags)
        try:
            request = fetch_request(source, ref.model, ref.version, run, Path(folder))
            _require(request.product.digest, ref)
            target.carry(request, ref.version)
        except BaseException:
            tracker.finish(run, RunStatus.FAILED)
            raise
        tracker.finish(run)


def fetch_product(registry: Registry, ref: ModelRef, store: Store) -> None:
    """Put a registered version's product into a store.

    Raises:
        UnknownNameError: there is no such version.
        DigestMismatchError: the bytes are not those that are wanted.
        InfrastructureError: the registry cannot be reached.
    """
    with TemporaryDirectory(prefix="towpath-fetch-") as folder:
        product = registry.fetch_product(ref.model, ref.version, Path(folder) / "product")
        _require(product.digest, ref)
        store.put(product.directory)


def _require(found: str, ref: ModelRef) -> None:
    if found != ref.digest:
        raise DigestMismatchError(
            f"version {ref.version} of {ref.model} is product {found[:12]} in the registry, the ledger has "
            f"{ref.digest[:12]}; the registry was changed, or does not belong to this ledger"
        )
