"""Gateways in this process: real products, a real ASGI call, no socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.products import image_product, mixed_product, network_product, slow_product, sum_product
from components.serving.board import Board
from components.serving.gateway import Gateway
from components.serving.judging import LiveJudge
from components.serving.measurements import Measurements
from components.serving.model_table import make_table
from components.serving.options import Limits
from components.serving.prediction_log import LogOptions, PredictionLog
from components.serving.served_model import ServedModel, load_served
from components.serving.traffic import Traffic
from components.types.product import ProductRef
from components.types.release import JudgeSettings, ModelRef, PlacedModel, TrafficSplit
from tests.asking import Answer, call
from tests.broken_products import renamed_product
from tests.canaries import OTHER, STABLE, Broken
from tests.following import Followed

MAKERS = {
    "network": network_product,
    "sum": sum_product,
    "mixed": mixed_product,
    "image": image_product,
    "slow": slow_product,
}


def alone(model: ServedModel, rev: int = 7) -> Traffic:
    """Traffic that all goes to one version."""
    number = model.ref.version
    return Traffic(TrafficSplit(model.ref.model, rev, stable=number), {number: model})


@pytest.fixture(scope="session")
def products(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ProductRef]:
    root = tmp_path_factory.mktemp("products")
    return {name: make(root / name) for name, make in MAKERS.items()}


@pytest.fixture(scope="session")
def served(products: dict[str, ProductRef]) -> Callable[..., ServedModel]:
    def load(kind: str, version: int = 3) -> ServedModel:
        product = products[kind]
        ref = ModelRef(kind, version, product.digest)
        return load_served(PlacedModel(ref, product.directory, product.runtime), Measurements())

    return load


@pytest.fixture
def only() -> Callable[..., Traffic]:
    return alone


@pytest.fixture
def gateway(served: Callable[..., ServedModel]) -> Callable[..., Gateway]:
    def make(*kinds: str, token: str | None = None, **limits: Any) -> Gateway:
        made = Gateway(Limits(**limits), token)
        made.table = make_table(7, {kind: alone(served(kind)) for kind in kinds}, {})
        return made

    return make


@pytest.fixture
def ask() -> Callable[..., Answer]:
    def send(gateway: Gateway, method: str, target: str, body: Any = b"", **headers: str) -> Answer:
        return asyncio.run(call(gateway, method, target, body, **headers))

    return send


@pytest.fixture
def root() -> Path:
    return Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def sums(tmp_path_factory):
    root = tmp_path_factory.mktemp("sums")
    return {
        STABLE: sum_product(root / "1", 1000.0),
        OTHER: sum_product(root / "2", 2000.0),
        3: renamed_product(root / "3", 3000.0),
    }


@pytest.fixture
def rollout(sums, tmp_path):
    """Make a gateway whose model `sum` has version 1 stable and another version as canary or shadow."""

    def make(do=None, *, product=OTHER, log=None, settings=None, **split):
        versions = {}
        for number, source in ((STABLE, sums[STABLE]), (OTHER, sums[product])):
            placed = PlacedModel(ModelRef("sum", number, source.digest), source.directory, source.runtime)
            versions[number] = load_served(placed, Measurements())
        if do is not None:
            versions[OTHER].runtime = Broken(versions[OTHER].runtime, do)
        board = Board(tmp_path / "board")
        made = TrafficSplit("sum", 7, stable=STABLE, **split)
        settings = settings or JudgeSettings(time_limit_s=5.0)
        judge = LiveJudge(board, made, settings)
        gateway = Gateway(Limits(), board=board, predictions=log)
        gateway.judges["sum"] = judge
        tell = (lambda asked, attempt: gateway.log_attempt(asked, attempt, 7)) if log is not None else None
        gateway.table = make_table(1, {"sum": Traffic(made, versions, judge, settings, tell)}, {})
        return gateway

    return make


@pytest.fixture
def open_log(tmp_path):
    made = []

    def start(folder=tmp_path / "log", worker=0, **options):
        made.append(PredictionLog(LogOptions(folder, **options), worker))
        return made[-1]

    yield start
    for each in made:
        each.close()


@pytest.fixture(scope="session")
def placed(sums):
    """Versions of the model `sum` as a snapshot names them, by number."""
    return {
        number: PlacedModel(ModelRef("sum", number, product.digest), product.directory, product.runtime)
        for number, product in sums.items()
    }


@pytest.fixture
def followed(tmp_path):
    return Followed(tmp_path)
