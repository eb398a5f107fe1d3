"""MLflow dies while a version is registered, and its aliases drift from the ledger."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from components.errors import InfrastructureError
from components.registry.registry import Registry
from components.registry.request import RegistrationRequest
from components.release.ledger import Ledger
from components.release.local import make_stable_locally
from components.release.projection import aliases
from components.release.records import Digests, RecordedVersion
from components.tracking.tracker import Tracker
from components.types.product import ProductRef
from components.types.release import Environment

pytestmark = pytest.mark.slow

KILLS = 3


@pytest.fixture
def tracker(fragile_mlflow_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    return Tracker(fragile_mlflow_server.url, tmp_path)


def test_a_server_killed_while_registering_loses_no_version_and_makes_none_twice(
    tracker: Tracker,
    fragile_mlflow_server: Any,
    request_for: Callable[..., RegistrationRequest],
    table_product: ProductRef,
) -> None:
    registry, random = Registry(tracker.connection), Random(3)
    registry.register(request_for(table_product))  # imports and connections are warm from here on
    model = request_for(table_product).lineage.model
    for number in range(KILLS):
        request = request_for(table_product, dataset_digest=f"{number:064x}")
        delay_s = random.uniform(0.0, 0.4)
        killer = threading.Timer(delay_s, fragile_mlflow_server.kill)
        killer.start()
        try:
            acknowledged = registry.register(request).version
        except InfrastructureError:
            acknowledged = None
        killer.join()
        fragile_mlflow_server.start()
        kept = registry.register(request)
        assert acknowledged in {None, kept.version}
        keys = [each.dataset_digest for each in registry.list_versions(model)]
        assert keys == ["d" * 64, *(f"{each:064x}" for each in range(number + 1))]


def test_an_alias_moved_by_hand_is_put_back_from_the_ledger(
    tracker: Tracker, request_for: Callable[..., RegistrationRequest], table_product: ProductRef, tmp_path: Path
) -> None:
    registry, ledger = Registry(tracker.connection), Ledger(f"sqlite:///{tmp_path}/ledger.db")
    slot = None
    for data in ("d", "e"):
        version = registry.register(request_for(table_product, dataset_digest=data * 64))
        ledger.record_version(
            RecordedVersion(
                version.model,
                version.version,
                version.product_digest,
                version.dataset_digest,
                version.runtime,
                author="ada",
            )
        )
        digests = Digests(version.product_digest, version.dataset_digest, "0c0ffee", "1" * 64, "2" * 64, "3" * 64)
        slot = make_stable_locally(
            ledger,
            version.version,
            seen=ledger.slot(version.model, Environment.LOCAL),
            digests=digests,
            actor="ada",
            reason="the gates passed",
        )
        written = aliases(slot)
        registry.set_aliases(written.model, written.champion, written.challenger, written.rev)
    assert slot is not None
    client = tracker.connection.client
    client.set_registered_model_alias(slot.model, "champion", "1")
    written = aliases(ledger.slot(slot.model, Environment.LOCAL))
    change = registry.set_aliases(written.model, written.champion, written.challenger, written.rev)
    assert (change.changed, change.rev) == (("champion",), 2)
    assert str(client.get_model_version_by_alias(slot.model, "champion").version) == "2"
