"""A running gateway for benches: routes written to its snapshot, clients that check every answer. Measures nothing.

Its products say which of them answered: version n gives ``x + 1000 n``.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, NamedTuple

from onnx import helper

from bench.gateway import INVOKE, first_answer, server
from bench.products import plain_input, sum_product, write_product
from components.stage.files import write_json
from components.types.dataset import Task
from components.types.product import ProductRef, Signature
from components.types.release import ModelRef, ModelRoute, PlacedModel, RouterSnapshot, TrafficSplit

MODEL = "bench"
CLIENTS = 8
_STEP = 1000.0


class Gateway(NamedTuple):
    """A running gateway and the snapshot that it follows."""

    port: int
    pid: int
    snapshot: Path
    sequence: list[int]

    def route(self, products: dict[int, ProductRef], **split: int) -> float:
        """Write the next revision, and return when, on `time.perf_counter`."""
        self.sequence[0] += 1
        loaded = {
            str(version): PlacedModel(ModelRef(MODEL, version, each.digest), each.directory, each.runtime)
            for version, each in products.items()
        }
        route = ModelRoute(TrafficSplit(MODEL, self.sequence[0], **split), loaded)
        write_json(self.snapshot, RouterSnapshot(self.sequence[0], {MODEL: route}))
        return time.perf_counter()

    def status(self) -> dict[str, Any]:
        """Return what the gateway says of itself."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", "/release/status")
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
            return answer
        finally:
            connection.close()

    def wait(self) -> None:
        """Wait until the newest revision is served."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if all(each["revs"].get(MODEL) == self.sequence[0] for each in self.status()["workers"]):
                return
            time.sleep(0.02)
        raise RuntimeError(f"revision {self.sequence[0]} is not served after 30 s: {self.status()}")


@contextmanager
def gateway(folder: Path, products: dict[int, ProductRef], question: bytes, **split: int) -> Iterator[Gateway]:
    """Run a gateway with its prediction log on."""
    snapshot = folder / "router.json"
    made = Gateway(0, 0, snapshot, [0])
    made.route(products, **split)
    command = [sys.executable, "-m", "components.serving", "--snapshot", str(snapshot), "--port", "{port}"]
    with server([*command, "--log-dir", str(folder / "predictions")]) as (port, pid):
        first_answer(port, question=question)
        yield made._replace(port=port, pid=pid)


def numbered(folder: Path, versions: range) -> dict[int, ProductRef]:
    """Make products whose answers say their number."""
    return {number: sum_product(folder / str(number), offset=_STEP * number) for number in versions}


def nonsense(folder: Path) -> ProductRef:
    """Make a product that warms up (on zeros) and then answers no number."""
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["square"]),
        helper.make_node("Neg", ["square"], ["negative"]),
        helper.make_node("Sqrt", ["negative"], ["prediction"]),
    ]
    return write_product(folder, Signature(Task.REGRESSION, (plain_input("x"),), ()), nodes, {})


class Answer(NamedTuple):
    """What came back, and from whom."""

    status: int
    version: int
    prediction: float


def question_of(x: float) -> bytes:
    """Return a request for one number."""
    return json.dumps({"dataframe_split": {"columns": ["x"], "data": [[x]]}}).encode()


def asked(connection: http.client.HTTPConnection, x: float) -> Answer:
    """Ask once."""
    connection.request("POST", INVOKE, question_of(x), {"Content-Type": "application/json"})
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        return Answer(response.status, 0, 0.0)
    prediction = json.loads(content)["predictions"][0]
    value = prediction["prediction"] if isinstance(prediction, dict) else prediction
    return Answer(200, int(response.headers["x-model-version"]), float(value))


class Seen(NamedTuple):
    """One request of a client."""

    is_failed: bool
    is_torn: bool
    """Whether the version that the answer names gives another one."""
    version: int
    took_s: float
    at_s: float
    """When the answer was there, on `time.perf_counter`."""


def clients(port: int, meanwhile: Callable[[], None]) -> list[Seen]:
    """Let clients ask while something happens; in a process of their own, so that it does not hold them up."""
    context = multiprocessing.get_context("fork")
    over, (receives, sends) = context.Event(), context.Pipe(duplex=False)
    process = context.Process(target=_ask, args=(port, over, sends), daemon=True)
    process.start()
    sends.close()
    try:
        meanwhile()
    finally:
        over.set()
        seen: list[Seen] = receives.recv()
        process.join()
    return seen


def _ask(port: int, over: Event, sends: Connection) -> None:
    seen: list[Seen] = []

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        x = 0
        while not over.is_set():
            x = (x + 1) % 100
            began_s = time.perf_counter()
            try:
                answer = asked(connection, x)
            except (OSError, http.client.HTTPException):
                answer = Answer(0, 0, 0.0)
            is_failed, at_s = answer.status != 200, time.perf_counter()
            is_torn = not is_failed and answer.prediction != x + _STEP * answer.version
            seen.append(Seen(is_failed, is_torn, answer.version, at_s - began_s, at_s))
            time.sleep(0.002)
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    sends.send(seen)
