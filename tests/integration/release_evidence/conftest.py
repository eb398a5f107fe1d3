"""A project with one registered version whose rows are prepared: all that gathering evidence needs, without a run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.registry.registry import Registry
from components.registry.request import Lineage, RegistrationRequest
from components.release.local import make_stable_locally
from components.release.records import Digests, RecordedVersion
from components.stage.files import file_digest, write_json
from components.tracking.tracker import Tracker
from components.types import record
from components.types.evaluation import Verdict
from components.types.product import SIGNATURE_FILE, ProductRef, Signature
from components.types.training import PREPARED_FILE, PreparedSpec
from pipelines.release.environments import EnvironmentConfig, load_environment

ROOT = Path(__file__).resolve().parents[3]
MODEL = "people"
DATASET, GATE_CONFIG = "d" * 64, "9" * 64
CITIES = ("Rome", "Oslo", None, "Bern")


@dataclass(frozen=True)
class Project:
    """A project folder, and its one version."""

    root: Path
    version: int
    digest: str

    def env(self, name: str) -> EnvironmentConfig:
        """Open an environment anew, as a command would."""
        return load_environment(name, self.root)


def people(count: int) -> list[dict[str, Any]]:
    """Return rows of the table product; every tenth age and every fourth city is missing."""
    return [
        {
            "row_id": str(index),
            "age": None if index % 10 == 0 else index / 4 - 8,
            "city": CITIES[index % 4],
            "trips": index % 5,
            "vip": index % 3 == 0,
            "label": "yes" if index % 2 else "no",
        }
        for index in range(count)
    ]


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an MLflow's database that holds nothing; making one takes seconds, copying it does not."""
    path = tmp_path_factory.mktemp("mlflow") / "empty.db"
    Tracker(f"sqlite:///{path}", None).connection.client.search_registered_models()
    return path


@pytest.fixture
def new_mlflow(empty_mlflow: Path, tmp_path: Path) -> Callable[[str], str]:
    """Return a function that makes an MLflow by name, and gives its address."""

    def make(name: str) -> str:
        return f"sqlite:///{shutil.copyfile(empty_mlflow, tmp_path / f'{name}.db')}"

    return make


@pytest.fixture
def project(
    tmp_path: Path, table_product: ProductRef, new_mlflow: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> Project:
    """Register the table product in an MLflow of its own, and make it stable locally."""
    root = tmp_path / "project"
    for folder in ("environments", "plans"):
        shutil.copytree(ROOT / "pipelines/configs" / folder, root / "pipelines/configs" / folder)
    monkeypatch.chdir(root)
    monkeypatch.setenv("TOWPATH_LEDGER_URL", f"sqlite:///{tmp_path / 'ledger.db'}")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_mlflow("mlflow"))
    monkeypatch.setenv("TOWPATH_ACTOR", "ada")
    monkeypatch.setenv("TOWPATH_GATEWAY_TOKEN", "a-token-that-a-gateway-beside-it-wants")
    write_rows(root, table_product)
    return Project(root, _registered(root, tmp_path, table_product), table_product.digest)


def write_rows(root: Path, product: ProductRef, count: int = 40) -> None:
    """Write a prepared validation split."""
    signature = record.read(Signature, product.directory / SIGNATURE_FILE)
    folder = root / "out" / MODEL / "prepared"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(people(count)), folder / "validation.parquet")
    spec = PreparedSpec(
        model=MODEL,
        task=signature.task,
        inputs=signature.inputs,
        classes=signature.classes,
        class_weights=(1.0, 1.0),
        target_mean=0.0,
        target_scale=1.0,
        feature_names=("age",),
        image_shape=None,
        rows={"validation": count},
        dataset_digest=DATASET,
        id_column="row_id",
        label_column="label",
    )
    write_json(folder / PREPARED_FILE, spec)


def _registered(root: Path, files_dir: Path, product: ProductRef) -> int:
    env = load_environment("local", root)
    tracker = Tracker(env.registry().uri, files_dir / "mlflow-files")
    run = tracker.start_pipeline_run(MODEL)
    files = {name: files_dir / name for name in ("dvc.lock", "verdict.json")}
    for path in files.values():
        path.write_text(json.dumps(path.name))
    lineage = Lineage(
        model=MODEL,
        training="people-sklearn",
        kind="sklearn",
        framework="scikit-learn 1.9.1",
        runtime="onnx",
        product_digest=product.digest,
        dataset_digest=DATASET,
        git_commit="0c0ffee",
        patch_digest="",
        dvc_lock_digest=file_digest(files["dvc.lock"]),
        lock_digests={"main": "1" * 64},
        suite_passed=True,
        suite_digest=file_digest(files["verdict.json"]),
        gates=(Verdict("absolute", passed=True, reasons=("auc 0.99 is at least 0.95",)),),
        parameters={"epochs": 60},
        native_files=("native/model.txt",),
        author="ada",
        flow_run_id="",
    )
    native = files_dir / "native"
    native.mkdir()
    (native / "model.txt").write_text("native")
    example = {"age": [40.0, None], "city": ["Rome", None], "trips": [3, 1], "vip": [True, False]}
    registry: Registry = env.registry()
    made = registry.register(RegistrationRequest(run, product, lineage, files, native, example))
    env.store().put(product.directory)
    ledger = env.ledger()
    ledger.record_version(RecordedVersion(MODEL, made.version, product.digest, DATASET, "onnx", "ada"))
    digests = Digests(product.digest, DATASET, "0c0ffee", "1" * 64, GATE_CONFIG, "8" * 64)
    slot = ledger.slot(MODEL, env.name)
    make_stable_locally(ledger, made.version, seen=slot, digests=digests, actor="ada", reason="passed its gates")
    return made.version
