"""Gateways in this process: real products, a real ASGI call, no socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bench.products import image_product, mixed_product, network_product, slow_product, sum_product
from components.serving.gateway import Gateway
from components.serving.measurements import Measurements
from components.serving.model_table import make_table
from components.serving.options import Limits
from components.serving.served_model import ServedModel, load_served
from components.serving.traffic import Traffic
from components.types.product import ProductRef
from components.types.release import ModelRef, PlacedModel, TrafficSplit

MAKERS = {
    "network": network_product,
    "sum": sum_product,
    "mixed": mixed_product,
    "image": image_product,
    "slow": slow_product,
}


class Answer(NamedTuple):
    status: int
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return self.json["error"]


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


async def call(gateway: Gateway, method: str, target: str, body: Any = b"", **headers: str) -> Answer:
    path, _, query = target.partition("?")
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
        headers = {"content_type": "application/json", **headers}
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": named}
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await gateway(scope, receive, send)
    return Answer(sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"])


@pytest.fixture
def root() -> Path:
    return Path(__file__).resolve().parents[3]
