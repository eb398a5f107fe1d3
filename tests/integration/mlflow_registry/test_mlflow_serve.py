"""`mlflow models serve`, MLflow's own server, on a registered version."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.registry.registry import Registry
from components.registry.request import RegistrationRequest
from components.tracking.tracker import Tracker
from components.types.product import ProductRef

pytestmark = pytest.mark.slow


@pytest.fixture
def tracker(tmp_path: Path) -> Tracker:
    return Tracker(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "artifacts")


@contextmanager
def served(tracker: Tracker, model: str, port: int, log: Path) -> Iterator[str]:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # it starts uvicorn by its name
        "MLFLOW_TRACKING_URI": tracker.connection.uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    }
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/{model}/1", "-h", "127.0.0.1"]
    command += ["-p", str(port), "--env-manager", "local"]
    with log.open("w") as out:
        server = subprocess.Popen(
            command, env=environment, cwd=log.parent, stdout=out, stderr=out, start_new_session=True
        )
    try:
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 180
        while True:
            try:
                with urllib.request.urlopen(f"{url}/ping", timeout=5):
                    break
            except OSError:
                assert server.poll() is None, log.read_text()[-2000:]
                assert time.monotonic() < deadline, log.read_text()[-2000:]
                time.sleep(0.2)
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, 9)
        server.wait()


def ask(url: str, body: dict[str, object]) -> tuple[int, Any]:
    request = urllib.request.Request(
        f"{url}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)["predictions"]
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["message"]


def test_a_version_is_served_by_mlflow_with_strings_and_missing_values(
    tracker: Tracker,
    request_for: Callable[..., RegistrationRequest],
    table_product: ProductRef,
    rows: dict[str, list[Any]],
    free_port: Callable[[], int],
    tmp_path: Path,
) -> None:
    version = Registry(tracker.connection).register(request_for(table_product))
    listed = [dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True)]
    split = {"columns": list(rows), "data": [list(row.values()) for row in listed]}
    with served(tracker, version.model, free_port(), tmp_path / "log") as url:
        for body in ({"dataframe_split": split}, {"dataframe_records": listed}, {"inputs": rows}):
            status, answer = ask(url, body)
            assert (status, [row["prediction"] for row in answer]) == (200, ["yes", "yes", "no"])
            assert [len(row["probabilities"]) for row in answer] == [2, 2, 2]
        status, message = ask(url, {"dataframe_records": [{**listed[0], "city": 3}]})
        assert (status, "column city takes strings, found 3" in message) == (400, True)


def test_a_version_that_takes_images_is_served_by_mlflow(
    tracker: Tracker,
    request_for: Callable[..., RegistrationRequest],
    image_product: ProductRef,
    free_port: Callable[[], int],
    tmp_path: Path,
) -> None:
    images = [[[1, 2, 3], [4, 5, 6]], [[0.5, 0, 0], [0, 0, 0]]]
    request = replace(request_for(image_product), input_example={"image": images})
    version = Registry(tracker.connection).register(request)
    with served(tracker, version.model, free_port(), tmp_path / "log") as url:
        for body in (
            {"inputs": {"image": images}},
            {"dataframe_split": {"columns": ["image"], "data": [[images[0]], [images[1]]]}},
        ):
            assert ask(url, body) == (200, [{"prediction": 21.0}, {"prediction": 0.5}])
