"""Versions whose product is a SavedModel: registered, carried, fetched and opened as those of ONNX are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from components.errors import BadInputError, GateRefusedError
from components.registry.carried import CarriedRegistry, fetch_request
from components.registry.registry import Registry
from components.registry.request import RegistrationRequest
from components.stage.files import tree_digest
from components.tracking.tracker import Tracker
from components.types.product import ProductRef
from tests.saved_models import saved_product

pytestmark = pytest.mark.slow

IN_MLFLOW = """
import json, sys
import mlflow, pandas as pd
model = mlflow.pyfunc.load_model(sys.argv[1])
assert ("tensorflow" in sys.modules) == (sys.argv[2] == "savedmodel"), sys.argv[2]
answers = []
for missing in (None, float("nan"), pd.NA):
    table = pd.DataFrame({
        "age": pd.Series([40.0, missing, -9.0], dtype=object), "city": ["Rome", "Oslo", missing],
        "trips": [3, 2, 1], "vip": [True, False, False],
    })
    table.index = [7, 8, 9]
    answers.append(model.predict(table).reset_index().to_dict("list"))
print(json.dumps(answers))
try:
    model.predict(table.assign(trips=[1, None, 2]))
except Exception as error:
    print(error)
"""


@pytest.fixture
def tracker(tmp_path: Path) -> Tracker:
    return Tracker(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "artifacts")


@pytest.fixture
def product(saved_models: Path, tmp_path: Path) -> ProductRef:
    return saved_product(saved_models, "table", tmp_path / "saved-product")


def opened_by_mlflow(tracker: Tracker, uri: str, runtime: str, folder: Path) -> list[str]:
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": tracker.connection.uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    command = [sys.executable, "-c", IN_MLFLOW, uri, runtime]
    said = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr[-2000:]
    return said.stdout.splitlines()


@pytest.mark.parametrize("runtime", ["onnx", "savedmodel"])
def test_either_product_is_opened_by_mlflow_and_answers_the_same(
    runtime: str,
    tracker: Tracker,
    request_for: Callable[..., RegistrationRequest],
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    product = request.getfixturevalue("table_product" if runtime == "onnx" else "product")
    version = Registry(tracker.connection).register(request_for(product, runtime=runtime))
    assert version.runtime == runtime
    folder = Registry(tracker.connection).fetch_part(version.model, 1, "requirements.txt", tmp_path / "requirements")
    names = {line.partition("==")[0] for line in folder.read_text().split()}
    assert names - {"tensorflow-cpu", "tensorflow", "onnxruntime"} == {"mlflow", "numpy", "pandas"}
    assert ("onnxruntime" in names, bool(names & {"tensorflow-cpu", "tensorflow"})) == (
        runtime == "onnx",
        runtime == "savedmodel",
    )
    answers, refusal, *_ = opened_by_mlflow(tracker, f"models:/{version.model}/1", runtime, tmp_path)
    for answer in json.loads(answers):
        assert answer["index"] == [7, 8, 9]
        assert answer["prediction"] == ["yes", "yes", "no"]
        expected = [1 / (1 + np.exp(-z)) for z in (45.0, 4.0, -11.0)]
        np.testing.assert_allclose([row[1] for row in answer["probabilities"]], expected, atol=1e-6)
    assert "column trips has a missing value in row 1" in refusal


def test_a_savedmodel_is_fetched_and_carried_to_another_registry_byte_for_byte(
    tracker: Tracker, request_for: Callable[..., RegistrationRequest], product: ProductRef, tmp_path: Path
) -> None:
    registry = Registry(tracker.connection)
    version = registry.register(request_for(product, runtime="savedmodel"))
    fetched = registry.fetch_product(version.model, 1, tmp_path / "store" / "fetched")
    assert (fetched.digest, fetched.runtime) == (product.digest, "savedmodel")
    elsewhere = Tracker(f"sqlite:///{tmp_path}/other.db", tmp_path / "other")
    run = elsewhere.start_training_run(elsewhere.start_pipeline_run(version.model), version.model, "t")
    there = CarriedRegistry(elsewhere.connection)
    carried = there.carry(fetch_request(registry, version.model, 1, run, tmp_path / "carried"), 7)
    assert (carried.version, carried.product_digest, carried.runtime) == (7, product.digest, "savedmodel")
    again = there.fetch_product(version.model, 7, tmp_path / "again")
    assert tree_digest(again.directory) == product.digest


@pytest.mark.parametrize("name", ["model.onnx", "savedmodel/weights.pkl", "savedmodel/assets.extra/file"])
def test_a_file_that_belongs_to_no_product_is_not_registered(
    name: str, tracker: Tracker, request_for: Callable[..., RegistrationRequest], product: ProductRef
) -> None:
    (product.directory / name).parent.mkdir(exist_ok=True)
    (product.directory / name).write_bytes(b"")
    changed = replace(product, digest=tree_digest(product.directory))
    with pytest.raises(BadInputError, match="cannot be registered: .* does not belong to a product"):
        Registry(tracker.connection).register(request_for(changed, runtime="savedmodel"))


def test_a_product_for_another_runtime_than_the_lineage_says_is_refused(
    tracker: Tracker, request_for: Callable[..., RegistrationRequest], product: ProductRef
) -> None:
    with pytest.raises(
        GateRefusedError, match="the lineage is of a product for onnx, the bytes are one for savedmodel"
    ):
        Registry(tracker.connection).register(request_for(product))
