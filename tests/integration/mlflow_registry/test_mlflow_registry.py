"""The registry over a real MLflow server and over a database used directly."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.errors import (
    BadInputError,
    DigestMismatchError,
    GateRefusedError,
    InfrastructureError,
    UnknownNameError,
)
from components.registry.registry import KEY_TAG, Registry, version_key
from components.registry.request import RegistrationRequest
from components.stage.files import text_digest
from components.tracking.tracker import Tracker
from components.types.evaluation import Verdict
from components.types.product import GRAPH_FILE, ProductRef

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shared_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("database")


@pytest.fixture(params=["server", "database"])
def tracker(request: pytest.FixtureRequest, shared_database: Path) -> Tracker:
    if request.param == "server":
        return Tracker(request.getfixturevalue("mlflow_server"), shared_database / "unused")
    return Tracker(f"sqlite:///{shared_database}/mlflow.db", shared_database / "artifacts")


@pytest.fixture
def registry(tracker: Tracker) -> Registry:
    return Registry(tracker.connection)


def test_registering_the_same_again_gives_the_same_version(
    registry: Registry, request_for: Callable[..., RegistrationRequest], table_product: ProductRef
) -> None:
    request = request_for(table_product)
    first, second = registry.register(request), registry.register(request)
    assert (first.version, first.created, second.version, second.created) == (1, True, 1, False)
    other_data = registry.register(request_for(table_product, dataset_digest="e" * 64))
    assert (other_data.version, other_data.created) == (2, True)
    listed = registry.list_versions(request.lineage.model)
    assert [(each.version, each.dataset_digest[0]) for each in listed] == [(1, "d"), (2, "e")]


def test_registering_at_once_gives_one_version(
    registry: Registry, request_for: Callable[..., RegistrationRequest], table_product: ProductRef
) -> None:
    request = request_for(table_product)
    with ThreadPoolExecutor(4) as pool:
        versions = list(pool.map(lambda _: registry.register(request), range(4)))
    assert len({each.version for each in versions}) == 1
    assert sum(each.created for each in versions) == 1
    assert len(registry.list_versions(request.lineage.model)) == 1


def test_a_version_that_a_retried_request_made_twice_is_listed_and_kept_once(
    registry: Registry, tracker: Tracker, request_for: Callable[..., RegistrationRequest], table_product: ProductRef
) -> None:
    request = request_for(table_product)
    first = registry.register(request)
    client = tracker.connection.client
    twin = client.get_model_version(first.model, str(first.version))
    model_id = twin.source.split("/")[-2]
    client.create_model_version(first.model, twin.source, twin.run_id, tags=twin.tags, model_id=model_id)
    assert [each.version for each in registry.list_versions(first.model)] == [1]
    assert registry.register(request).version == 1
    assert len(client.search_model_versions(f"name = '{first.model}'")) == 1


def test_a_version_carries_its_whole_lineage(
    registry: Registry, request_for: Callable[..., RegistrationRequest], table_product: ProductRef, tmp_path: Path
) -> None:
    request = request_for(table_product)
    version = registry.register(request)
    assert registry.read_lineage(version.model, version.version) == request.lineage
    registry.fetch_lineage(version.model, version.version, tmp_path / "fetched")
    stored = {path.name for path in (tmp_path / "fetched").iterdir()}
    assert stored == {"dvc.lock", "verdict.json", "uncommitted.patch", "lineage.json"}
    assert version.tags["towpath.git_commit"] == "0c0ffee"
    assert version.tags["towpath.tree"] == f"dirty+{text_digest('uncommitted.patch')}"
    assert version.tags["towpath.lock.torch"] == "2" * 64
    assert version.tags["towpath.gates"] == "1 of 1 passed"
    assert version.tags["prefect.flow_run_id"] == "flow-1"
    assert version.tags[KEY_TAG] == version_key(version.model, table_product.digest, "d" * 64)


def test_a_fetched_product_has_the_bytes_that_were_registered(
    registry: Registry, request_for: Callable[..., RegistrationRequest], table_product: ProductRef, tmp_path: Path
) -> None:
    version = registry.register(request_for(table_product))
    fetched = registry.fetch_product(version.model, version.version, tmp_path / "store" / "fetched")
    assert fetched.digest == table_product.digest
    assert (fetched.directory / GRAPH_FILE).read_bytes() == (table_product.directory / GRAPH_FILE).read_bytes()
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["fetched"]


def test_a_product_that_was_changed_after_it_was_registered_is_refused(
    registry: Registry,
    tracker: Tracker,
    request_for: Callable[..., RegistrationRequest],
    table_product: ProductRef,
    rows: dict[str, list[Any]],
    tmp_path: Path,
) -> None:
    version = registry.register(request_for(table_product))
    client = tracker.connection.client
    model_id = client.get_model_version(version.model, str(version.version)).source.split("/")[-2]
    forged = tmp_path / "forged" / GRAPH_FILE
    forged.parent.mkdir()
    forged.write_bytes(b"forged")
    client.log_model_artifacts(model_id, str(forged.parent), "artifacts/product")
    with pytest.raises(DigestMismatchError):
        registry.fetch_product(version.model, version.version, tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()
    assert "where" in predict_in_a_fresh_process(tracker, version.model, rows)["error"]


def predict_in_a_fresh_process(tracker: Tracker, model: str, rows: dict[str, list[object]]) -> dict[str, object]:
    code = """
import json, sys
import mlflow, pandas
mlflow.set_tracking_uri(sys.argv[1])
try:
    loaded = mlflow.pyfunc.load_model(f"models:/{sys.argv[2]}/1")
    predicted = loaded.predict(pandas.DataFrame(json.loads(sys.argv[3])))
    print(json.dumps(predicted.to_dict("list")))
except Exception as error:
    print(json.dumps({"error": str(error)}))
loaded = {"tensorflow", "torch", "keras", "lightning", "components"} & set(sys.modules)
assert not loaded, loaded
"""
    environment = {
        **os.environ,
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONPATH": "",
    }
    arguments = [tracker.connection.uri, model, json.dumps(rows)]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, cwd="/", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_mlflow_loads_a_version_without_pickle_and_predicts_strings_and_missing_values(
    registry: Registry,
    tracker: Tracker,
    request_for: Callable[..., RegistrationRequest],
    table_product: ProductRef,
    rows: dict[str, list[Any]],
) -> None:
    version = registry.register(request_for(table_product))
    predicted = predict_in_a_fresh_process(tracker, version.model, rows)
    assert predicted["prediction"] == ["yes", "yes", "no"]
    probabilities = [row[1] for row in predicted["probabilities"]]
    assert probabilities == pytest.approx([1.0, 1 / (1 + math.exp(-4)), 1 / (1 + math.exp(11))], abs=1e-6)


def test_mlflow_loads_a_version_that_takes_images(
    registry: Registry, tracker: Tracker, request_for: Callable[..., RegistrationRequest], image_product: ProductRef
) -> None:
    images = [[[1, 2, 3], [4, 5, 6]], [[0.5, 0, 0], [0, 0, 0]]]
    request = request_for(image_product)
    version = registry.register(replace(request, input_example={"image": images}))
    predicted = predict_in_a_fresh_process(tracker, version.model, {"image": images})
    assert predicted == {"prediction": [21.0, 0.5]}


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"gates": ()}, GateRefusedError, "no gate judged it"),
        ({"gates": (Verdict("auc", passed=False, reasons=("low",)),)}, GateRefusedError, "did not pass auc"),
        ({"suite_passed": False}, GateRefusedError, "did not meet their suite"),
        ({"git_commit": ""}, GateRefusedError, "lacks git_commit"),
        ({"lock_digests": {}}, GateRefusedError, "lacks lock_digests"),
        ({"product_digest": "f" * 64}, GateRefusedError, "the lineage is of product ffff"),
        ({"dvc_lock_digest": "f" * 64}, DigestMismatchError, "dvc.lock"),
    ],
)
def test_what_is_incomplete_never_becomes_a_version(
    registry: Registry,
    request_for: Callable[..., RegistrationRequest],
    table_product: ProductRef,
    changes: dict[str, object],
    error: type[Exception],
    words: str,
) -> None:
    request = request_for(table_product, **changes)
    with pytest.raises(error, match=words):
        registry.register(request)
    assert registry.list_versions(request.lineage.model) == ()


def test_files_that_are_no_part_of_a_product_and_pickles_are_refused(
    registry: Registry, request_for: Callable[..., RegistrationRequest], table_product: ProductRef
) -> None:
    request = request_for(table_product)
    assert request.native_dir is not None
    (request.native_dir / "model.pkl").write_bytes(b"")
    with pytest.raises(BadInputError, match=r"model\.pkl is a pickle"):
        registry.register(request)
    (table_product.directory / "extra").write_text("")
    with pytest.raises(DigestMismatchError):
        registry.register(request)


def test_aliases_follow_the_ledger_and_a_late_writer_is_turned_away(
    registry: Registry, tracker: Tracker, request_for: Callable[..., RegistrationRequest], table_product: ProductRef
) -> None:
    model = registry.register(request_for(table_product)).model
    registry.register(request_for(table_product, dataset_digest="e" * 64))
    client = tracker.connection.client

    def there() -> dict[str, int]:
        return {alias: int(number) for alias, number in client.get_registered_model(model).aliases.items()}

    assert registry.set_aliases(model, 1, None, rev=1).changed == ("champion",)
    assert registry.set_aliases(model, 1, 2, rev=2).changed == ("challenger",)
    assert there() == {"champion": 1, "challenger": 2}
    assert registry.set_aliases(model, 2, None, rev=3).changed == ("champion", "challenger")
    assert registry.set_aliases(model, 1, 2, rev=2).stale
    assert there() == {"champion": 2}
    assert registry.set_aliases(model, 2, None, rev=3).changed == ()
    client.set_registered_model_alias(model, "champion", "1")
    assert registry.set_aliases(model, 2, None, rev=3).changed == ("champion",)
    assert there() == {"champion": 2}
    assert client.get_registered_model(model).tags["release.rev"] == "3"


def test_unknown_versions_are_named(registry: Registry, tmp_path: Path) -> None:
    assert registry.list_versions("nobody") == ()
    with pytest.raises(UnknownNameError, match="version 7 of nobody"):
        registry.fetch_product("nobody", 7, tmp_path / "fetched")


def test_a_server_that_is_down_is_infrastructure(
    free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    tracker = Tracker(f"http://127.0.0.1:{free_port()}", tmp_path)
    with pytest.raises(InfrastructureError, match="is it running"):
        tracker.start_pipeline_run("taxi")
