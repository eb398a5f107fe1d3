"""Gateways as their users start them: a process, a snapshot file, a port."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from bench.products import image_product, mixed_product, network_product, slow_product, sum_product
from components.stage.files import write_json
from components.types.product import ProductRef
from components.types.release import JudgeSettings, ModelRef, ModelRoute, PlacedModel, RouterSnapshot, TrafficSplit
from tests.serving_clients import Asker, Client

ROOT = Path(__file__).resolve().parents[3]
MAKERS = {
    "network": network_product,
    "sum": sum_product,
    "mixed": mixed_product,
    "image": image_product,
    "slow": slow_product,
}
FAST = JudgeSettings(time_limit_s=0.25, steps=4)  # as many as the default plan has, the shadow among them


def placed(name: str, versions: Mapping[int, ProductRef]) -> dict[str, PlacedModel]:
    return {
        str(number): PlacedModel(ModelRef(name, number, product.digest), product.directory, product.runtime)
        for number, product in versions.items()
    }


class Running:
    """One gateway process and the snapshot it follows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.snapshot = folder / "router.json"
        self.process: subprocess.Popen[str] | None = None
        self.port = 0
        self.sequence = 0
        self.routes: dict[str, ModelRoute] = {}

    def place(self, rev: int, *models: tuple[str, int, ProductRef]) -> None:
        """Have nothing but these models served, each by one version."""
        routes = {
            name: ModelRoute(TrafficSplit(name, rev, stable=version), placed(name, {version: product}))
            for name, version, product in models
        }
        self._write(routes)

    def route(
        self, split: TrafficSplit, versions: Mapping[int, ProductRef], judge: JudgeSettings | None = None
    ) -> None:
        """Move one model's traffic, and leave the others as they are."""
        self._write(
            {**self.routes, split.model: ModelRoute(split, placed(split.model, versions), judge or JudgeSettings())}
        )

    def _write(self, routes: dict[str, ModelRoute]) -> None:
        self.routes = routes
        self.sequence += 1
        write_json(self.snapshot, RouterSnapshot(self.sequence, routes))

    def status(self) -> Any:
        return self.ask("GET", "/release/status")[1]

    def report(self, model: str) -> Any:
        """Return what the judge says of a model."""
        return self.status()["reports"][model]

    def is_at(self, model: str, rev: int) -> bool:
        """Whether every worker serves this revision of a model."""
        workers = self.status()["workers"]
        return bool(workers) and all(worker["revs"].get(model) == rev for worker in workers)

    def start(self, *arguments: str, wait: bool = True, **environment: str) -> Running:
        port_file = self.folder / "port"
        port_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "components.serving", "--snapshot", str(self.snapshot), "--port", "0"]
        with (self.folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                [*command, "--port-file", str(port_file), *arguments],
                cwd=ROOT,
                env={**os.environ, **environment},
                stderr=log,
                text=True,
            )
        end = time.monotonic() + 120  # a version may wait for TensorFlow to be imported
        while wait and not port_file.exists():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < end, self.log()
            time.sleep(0.02)
        if wait:
            self.port = int(port_file.read_text())
        return self

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers = {"Content-Type": "application/json", **headers}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        return response.status, json.loads(content) if content[:1] in (b"{", b"[") else content.decode()

    def metric(self, name: str) -> float:
        text = self.ask("GET", "/metrics")[1]
        return next((float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name)), 0.0)

    def wait_for(self, condition: Callable[[], bool], seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.log()
            time.sleep(0.02)

    def stop(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(120)
        finally:
            self.process.kill()


@pytest.fixture(scope="session")
def products(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ProductRef]:
    root = tmp_path_factory.mktemp("products")
    return {name: make(root / name) for name, make in MAKERS.items()}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    made = Running(tmp_path)
    yield made
    if made.process is not None:
        made.stop()


@pytest.fixture(scope="module")
def everything(products: dict[str, ProductRef], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A gateway that serves every product, shared by the tests of a module."""
    made = Running(tmp_path_factory.mktemp("gateway"))
    made.place(1, *((name, 3, product) for name, product in products.items() if name != "slow"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def sum_versions(tmp_path: Path) -> Callable[[int], ProductRef]:
    """Products whose answer tells their version: ``x + 1000 * version``."""

    def make(version: int) -> ProductRef:
        return sum_product(tmp_path / f"sum-{version}", offset=1000.0 * version)

    return make


@pytest.fixture
def routed(running, sum_versions, tmp_path):
    """A gateway at revision 1, all of `sum` at version 1; `move` brings it to another split."""
    versions = {number: sum_versions(number) for number in (1, 2, 3)}
    running.route(TrafficSplit("sum", 1, stable=1), {1: versions[1]})
    running.start()

    def move(rev, judge=FAST, products=None, **split):
        made = TrafficSplit("sum", rev, **split)
        running.route(made, {number: {**versions, **(products or {})}[number] for number in made.versions}, judge)
        running.wait_for(lambda: running.is_at("sum", rev))
        return made

    clients = []

    def client():
        clients.append(Client(running.port))
        return clients[-1]

    running.move, running.versions, running.client = move, versions, client
    yield running
    for each in clients:
        each.connection.close()


@pytest.fixture
def under_load():
    """Clients that ask all the time; what they saw must be flawless in the end."""
    stop, askers = threading.Event(), []

    def start(port, clients=4):
        askers.extend(Asker(port, stop) for _ in range(clients))
        for asker in askers:
            asker.start()
        return askers

    yield start
    stop.set()
    for asker in askers:
        asker.join(120)
    assert [wrong for asker in askers for wrong in asker.wrong] == []
    assert sum(asker.answers for asker in askers) > 100
