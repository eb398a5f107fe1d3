"""A gateway whose versions are SavedModels and ONNX graphs side by side, and whose processes are killed."""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from components.types.product import ProductRef
from components.types.release import JudgeSettings, TrafficSplit
from tests.saved_models import ABORTS, HANGS, saved_product

pytestmark = pytest.mark.slow
PATIENT = JudgeSettings(time_limit_s=2.0, steps=4)
LOAD_S = 120


def ask(running: Any, x: float, user: str = "ada", model: str = "sum") -> tuple[int, Any]:
    body = {"inputs": {"x": [x]}}
    return running.ask("POST", f"/models/{model}/invocations", body, **{"x-user-id": user})


def servers_of(running: Any) -> list[psutil.Process]:
    """Return the processes in which TensorFlow predicts: those forked by the one that imported it."""
    assert running.process is not None
    hosts = psutil.Process(running.process.pid).children()
    return [server for host in hosts for server in host.children()]


class Asker(threading.Thread):
    """Ask without a pause until told to stop; note every answer's status, and every answer that is wrong."""

    def __init__(self, port: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.port, self.stop = port, stop
        self.statuses: list[int] = []
        self.wrong: list[object] = []
        self.late = 0

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        x = 0.0
        while not self.stop.is_set():
            x += 1.0
            body = json.dumps({"inputs": {"x": [x]}})
            connection.request("POST", "/models/sum/invocations", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            content = json.loads(response.read())
            self.statuses.append(response.status)
            if response.status == 200 and content["predictions"] != [{"prediction": x + 1000.0}]:
                self.wrong.append((x, content))
            if response.status == 503 and "took longer than" in json.dumps(content):
                self.late += 1
            elif response.status not in (200, 500):
                self.wrong.append(content)
        connection.close()


@pytest.fixture
def versions(
    saved_models: Path, tmp_path: Path, sum_versions: Callable[[int], ProductRef]
) -> dict[str, dict[int, ProductRef]]:
    """Return versions 1 and 2 of `sum` by runtime; the answer tells the version."""
    return {
        "onnx": {number: sum_versions(number) for number in (1, 2)},
        "savedmodel": {
            number: saved_product(saved_models, f"sum-{number}", tmp_path / f"saved-{number}") for number in (1, 2)
        },
    }


@pytest.fixture
def routed(running: Any) -> Iterator[Callable[..., None]]:
    """Return a function that moves the traffic of `sum` and waits until it is so."""

    def move(rev: int, products: dict[int, ProductRef], **split: Any) -> None:
        made = TrafficSplit("sum", rev, **split)
        running.route(made, {number: products[number] for number in made.versions}, PATIENT)
        if running.process is None:
            running.start()
        running.wait_for(lambda: running.is_at("sum", rev), LOAD_S)

    return move


@pytest.mark.parametrize(("stable", "other"), [("savedmodel", "onnx"), ("onnx", "savedmodel")])
def test_a_shadow_and_a_canary_of_the_other_runtime_see_what_stable_sees(
    stable: str, other: str, running: Any, routed: Callable[..., None], versions: dict[str, dict[int, ProductRef]]
) -> None:
    products = {1: versions[stable][1], 2: versions[other][2]}
    routed(1, products, stable=1, shadow=2)
    for number in range(40):
        assert ask(running, float(number))[1]["predictions"] == [{"prediction": number + 1000.0}]
    running.wait_for(lambda: running.status()["reports"]["sum"]["shadow"]["mirrored"] == 40)
    shadow = running.status()["reports"]["sum"]["shadow"]
    assert (shadow["dropped"], sum(shadow["bad"].values()), shadow["differing"]) == (0, 0, 40)  # 1000 beside stable
    assert shadow["p50_ms"] > 0
    routed(2, products, stable=1, canary=2, weight=50)
    answers = {ask(running, 1.0, f"user-{number}")[1]["predictions"][0]["prediction"] for number in range(40)}
    assert answers == {1001.0, 2001.0}
    canary = running.status()["reports"]["sum"]["canary"]
    assert canary["requests"] > 0
    assert sum(canary["bad"].values()) == 0


def test_a_killed_process_costs_no_more_than_the_answers_that_it_was_at(
    running: Any, routed: Callable[..., None], versions: dict[str, dict[int, ProductRef]]
) -> None:
    routed(1, versions["savedmodel"], stable=1)
    stop = threading.Event()
    askers = [Asker(running.port, stop) for _ in range(4)]
    for each in askers:
        each.start()
    kills = 3
    for _ in range(kills):
        (before,) = servers_of(running)
        asked = sum(len(each.statuses) for each in askers)
        os.kill(before.pid, 9)
        running.wait_for(lambda gone=before: [each.pid for each in servers_of(running)] not in ([], [gone.pid]), 60)
        running.wait_for(lambda asked=asked: sum(len(each.statuses) for each in askers) > asked + 20, 60)
        time.sleep(0.5)
    stop.set()
    for each in askers:
        each.join(120)
    assert [wrong for each in askers for wrong in each.wrong] == []
    failed = sum(status == 500 for each in askers for status in each.statuses)
    assert failed <= kills * len(askers)
    # on a busy machine the next process may take longer to open than a request may wait: once for each that waits
    assert sum(each.late for each in askers) <= kills * len(askers)
    assert ask(running, 1.0)[0] == 200


def test_a_request_that_kills_or_hangs_its_process_fails_alone(
    running: Any, routed: Callable[..., None], versions: dict[str, dict[int, ProductRef]]
) -> None:
    routed(1, versions["savedmodel"], stable=1)
    status, content = ask(running, ABORTS - 1)
    assert (status, "was killed by SIGABRT while it predicted" in json.dumps(content)) == (500, True)
    assert ask(running, 1.0)[1]["predictions"] == [{"prediction": 1001.0}]
    status, content = ask(running, HANGS + 1)
    assert (status, "took longer than 5 s" in json.dumps(content)) == (503, True)
    assert ask(running, 1.0)[1]["predictions"] == [{"prediction": 1001.0}]
    assert ask(running, 1.0, model="none")[0] == 404
    assert ask(running, "one")[0] == 400  # type: ignore[arg-type]


def test_a_gateway_that_is_killed_leaves_no_process_and_one_that_stops_ends_in_order(
    running: Any, routed: Callable[..., None], versions: dict[str, dict[int, ProductRef]]
) -> None:
    routed(1, versions["savedmodel"], stable=1)
    family = psutil.Process(running.process.pid).children(recursive=True)
    assert len(family) == 2
    assert running.stop() == 0
    assert psutil.wait_procs(family, timeout=120)[1] == []


def test_versions_that_left_leave_no_process(
    running: Any, routed: Callable[..., None], versions: dict[str, dict[int, ProductRef]]
) -> None:
    routed(1, versions["savedmodel"], stable=1)
    (first,) = servers_of(running)
    routed(2, versions["savedmodel"], stable=2)
    assert psutil.wait_procs([first], timeout=120)[1] == []
    (second,) = servers_of(running)
    assert second.pid != first.pid
