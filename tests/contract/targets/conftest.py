"""The places of this folder's tests, and the versions that may stand there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.products import sum_product
from components.release.store import Store
from components.stage.files import write_json
from components.types.product import GRAPH_FILE, SIGNATURE_FILE
from tests.contract.targets.places import (
    BROKEN,
    VERSIONS,
    GatewayPlace,
    GatewayProcess,
    MemoryPlace,
    Place,
    Pods,
    PodsPlace,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def digests(tmp_path: Path, store: Store) -> dict[int, str]:
    """Put a product for every version into the store, and one that does not load."""
    found = {}
    for version in VERSIONS:
        found[version] = store.put(sum_product(tmp_path / f"v{version}", offset=1000.0 * version).directory)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / GRAPH_FILE).write_bytes(b"no graph")
    write_json(broken / SIGNATURE_FILE, {})
    return {**found, BROKEN: store.put(broken)}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """Return a gateway of two workers for all tests of a module."""
    made = GatewayProcess(tmp_path_factory.mktemp("gateway"), "--workers", "2")
    made.start()
    yield made
    made.stop()


@pytest.fixture
def gateway_place(gateway: GatewayProcess, store: Store, digests: dict[int, str]) -> GatewayPlace:
    return GatewayPlace(gateway, store, digests)


@pytest.fixture(scope="module")
def pods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    """Return the pods of a stand-in for a cluster, for all tests of a module."""
    made = Pods(tmp_path_factory.mktemp("pods"))
    made.start()
    yield made
    made.stop()
    made.cluster.stop()


@pytest.fixture
def pods_place(pods: Pods, store: Store, digests: dict[int, str]) -> PodsPlace:
    return PodsPlace(pods, store, digests)


PLACES = {"process": "gateway_place", "kubernetes (recorded API)": "pods_place"}


@pytest.fixture(params=["memory", *(pytest.param(each, marks=pytest.mark.slow) for each in PLACES)])
def place(request: pytest.FixtureRequest) -> Place:
    """Return each place that is to keep the contract."""
    if request.param == "memory":
        return MemoryPlace()
    found: GatewayPlace = request.getfixturevalue(PLACES[request.param])
    return found


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Return a function that waits until something is so."""

    def wait(condition: Callable[[], bool], seconds: float = 120.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it did not become so"
            time.sleep(0.01)

    return wait
