"""Start the gateway on what the ledger says is stable, and ask it. Loads no model itself."""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from components.errors import AlreadyRunningError, InfrastructureError, UnknownNameError
from components.stage.config import nearest
from components.types import record
from components.types.dataset import ColumnType
from components.types.product import SIGNATURE_FILE, Signature
from components.types.training import PREPARED_FILE, PreparedSpec
from pipelines.input_example import first_rows, input_value
from pipelines.placement import stable_placement, write_router
from pipelines.services.local import GATEWAY, gateway_launch
from pipelines.services.process import Service, find_service, start_service
from pipelines.state import ROUTER

DEFAULT_PORT = 8080
DATATYPES = {
    ColumnType.FLOAT64: "FP64",
    ColumnType.INT64: "INT64",
    ColumnType.BOOL: "BOOL",
    ColumnType.STRING: "BYTES",
}


@dataclass(frozen=True)
class Answer:
    """One row, and what the gateway said of it."""

    url: str
    version: int
    row: Mapping[str, Any]
    outputs: Mapping[str, Any]
    label: Any
    milliseconds: float


def run_gateway(model: str | None, port: int | None, root: Path = Path()) -> None:
    """Become the gateway, in the foreground.

    Raises:
        UnknownNameError: nothing is stable yet.
    """
    _prepare(model, root)
    arguments = ["--snapshot", str(root / ROUTER), "--host", "127.0.0.1", "--port", str(port or DEFAULT_PORT)]
    os.execv(sys.executable, [sys.executable, "-m", "components.serving", *arguments])  # noqa: S606 - no shell


def start_gateway(model: str | None, port: int | None, root: Path = Path()) -> Service:
    """Start the gateway in the background, or let the one that runs take up the new snapshot.

    Raises:
        UnknownNameError: nothing is stable yet.
        AlreadyRunningError: it runs on another port than the one that is asked for.
        InfrastructureError: it did not start.
    """
    _prepare(model, root)
    running = find_service(GATEWAY, root)
    if running and port is not None and urlsplit(running.url).port != port:
        raise AlreadyRunningError(f"the gateway runs at {running.url} already; `towpath down` stops it")
    return running or start_service(gateway_launch(root, host_port=port or DEFAULT_PORT), root)


def ask(model: str, root: Path = Path()) -> Answer:
    """Send the first row of the test split to the running gateway.

    Raises:
        InfrastructureError: no gateway runs, or it does not answer well.
        UnknownNameError: the model has nothing stable.
    """
    service = find_service(GATEWAY, root)
    if service is None:
        raise InfrastructureError(f"no gateway runs here; start one with `towpath serve {model} --detach`")
    placed = stable_placement(model, root)
    signature = record.read(Signature, placed.directory / SIGNATURE_FILE)
    row, label = _test_row(model, root)
    inputs = [
        {
            "name": spec.name,
            "shape": [1, *spec.shape],
            "datatype": DATATYPES[spec.type],
            "data": [input_value(spec, row)],
        }
        for spec in signature.inputs
    ]
    path = f"/v2/models/{model}/versions/{placed.ref.version}/infer"
    begun = time.monotonic()
    answer = _post(service, path, {"inputs": inputs})
    outputs = {output["name"]: output["data"] for output in answer["outputs"]}
    shown = {name: row[name] for spec in signature.inputs for name in spec.columns}
    return Answer(service.url + path, placed.ref.version, shown, outputs, label, (time.monotonic() - begun) * 1000)


def _prepare(model: str | None, root: Path) -> None:
    snapshot = write_router(root)
    if not snapshot.models:
        raise UnknownNameError(f"no model has a stable version yet; `towpath run {model or 'MODEL'}` makes one")
    if model and model not in snapshot.models:
        known = sorted(snapshot.models)
        raise UnknownNameError(f"{model} has no stable version{nearest(model, known)}; there are: {', '.join(known)}")


def _test_row(model: str, root: Path) -> tuple[dict[str, Any], Any]:
    folder = root / "out" / model / "prepared"
    path = folder / "test.parquet"
    if not path.is_file():
        raise UnknownNameError(f"{path} is missing; `towpath run {model}` makes it")
    spec = record.read(PreparedSpec, folder / PREPARED_FILE)
    row = first_rows(path, 1)[0]
    return row, row[spec.label_column]


def _post(service: Service, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    connection = http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=10)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read().decode()
    except OSError as error:
        raise InfrastructureError(
            f"the gateway at {service.url} does not answer: {error}; see {service.log}"
        ) from error
    finally:
        connection.close()
    if response.status != 200:
        raise InfrastructureError(f"the gateway answered {response.status} to {path}: {text[:300]}")
    answer: dict[str, Any] = json.loads(text)
    return answer
