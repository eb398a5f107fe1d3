"""Somebody moves an alias in MLflow by hand: it drifts from the ledger, and is put back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

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


@pytest.fixture
def tracker(mlflow_server: str, tmp_path: Path) -> Tracker:
    return Tracker(mlflow_server, tmp_path)


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
