"""A project with one model that is stable in its local environment: a real product, a real ledger, a real MLflow."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import polars as pl
import pytest

from bench.products import network_product
from components.release.local import make_stable_locally
from components.release.records import Digests, RecordedVersion
from components.serving.measurements import Measurements
from components.serving.prediction_log import LogOptions, PredictionLog
from components.serving.served_model import ServedModel, load_served
from components.stage.files import write_json
from components.types.dataset import ColumnType, Split, Task
from components.types.evaluation import Direction, Evaluation, MetricValue, SplitResult
from components.types.product import InputSpec
from components.types.release import Role
from components.types.training import PreparedSpec
from pipelines.release.environments import EnvironmentConfig, load_environment

ROOT = Path(__file__).parents[3]
MODEL = "tumours"
DATASET = "d" * 64
NAMES = [f"feature_{place}" for place in range(30)]
CONFIG = f"""
models:
  {MODEL}:
    data: {{source: {{kind: files, path: rows.csv}}, label: diagnosis}}
    features: {{task: binary}}
    evaluation: {{primary: accuracy}}
    gates: {{absolute: {{accuracy: 0.6}}}}
    monitoring: {{labels: labels.csv}}
trainings:
  {MODEL}-sklearn: {{model: {MODEL}, kind: sklearn, architecture: linear}}
"""


def features(count: int, seed: int, moved: float = 0.0) -> np.ndarray:
    """Return rows as the model is asked; `moved` shifts the first feature."""
    rows = np.random.default_rng(seed).normal(size=(count, len(NAMES)))
    rows[:, 0] += moved
    return rows


def write_training(env: EnvironmentConfig, model: ServedModel, data: str = DATASET, tested: int = 1_000) -> None:
    """Write below ``out`` what a training of the product leaves there."""
    outputs = env.root / "out" / MODEL
    shutil.rmtree(outputs, ignore_errors=True)
    (outputs / "prepared").mkdir(parents=True)
    (outputs / "evaluations" / f"{MODEL}-sklearn").mkdir(parents=True)
    inputs = tuple(InputSpec(name, ColumnType.FLOAT64, (), False, (name,)) for name in NAMES)
    classes = ("benign", "malignant")
    rows = {split.value: 1_000 for split in Split}
    spec = PreparedSpec(
        MODEL, Task.BINARY, inputs, classes, (1.0, 1.0), 0.0, 1.0, ("f",), None, rows, data, "id", "diagnosis"
    )
    write_json(outputs / "prepared" / "prepared.json", spec)
    pl.DataFrame(features(1_000, 1), schema=NAMES).with_row_index("id").write_parquet(
        outputs / "prepared/train.parquet"
    )
    accuracy = {"accuracy": MetricValue(0.9, 0.88, 0.92, Direction.HIGHER)}
    split = SplitResult(tested, accuracy, ())
    digest = model.ref.digest
    evaluation = Evaluation(MODEL, f"{MODEL}-sklearn", Task.BINARY, "accuracy", digest, data, split, split)
    folder = outputs / "evaluations" / f"{MODEL}-sklearn"
    write_json(folder / "evaluation.json", evaluation)
    said = model.predict(model.plan.from_rows(features(1_000, 2).tolist(), None))["prediction"]
    pl.DataFrame({"id": range(1_000), "prediction": list(said)}).write_parquet(folder / "predictions.parquet")


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EnvironmentConfig:
    """Return the local environment of a new project, in which version 1 is stable."""
    configs = tmp_path / "pipelines" / "configs"
    configs.mkdir(parents=True)
    for folder in ("environments", "plans"):
        shutil.copytree(ROOT / "pipelines" / "configs" / folder, configs / folder)
    (configs / f"{MODEL}.yaml").write_text(CONFIG)
    (tmp_path / "labels.csv").write_text("id,label\n")
    write_suite(tmp_path)
    monkeypatch.setenv("TOWPATH_LEDGER_URL", f"sqlite:///{tmp_path / 'ledger.db'}")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)
    made = load_environment("local")
    made = EnvironmentConfig(made.name, made.section, tmp_path)
    product = network_product(tmp_path / "product")
    made.store().put(product.directory)
    made.ledger().record_version(RecordedVersion(MODEL, 1, product.digest, DATASET, product.runtime, author="ada"))
    place_stable(made)
    return made


def place_stable(env: EnvironmentConfig) -> None:
    """Make version 1 stable, as a run does."""
    from components.release.guards.evidence import GATES, GatesEvidence
    from components.types.evaluation import Verdict
    from pipelines.release.commit import note
    from pipelines.release.lineage import LINEAGE

    slot = env.ledger().slot(MODEL, env.name)
    recorded = env.ledger().version(MODEL, 1)
    verdicts = (Verdict("absolute", passed=True, reasons=("accuracy 0.9 ≥ 0.6",)),)
    gates = GatesEvidence(
        product_digest=recorded.digest, verdicts=verdicts, gate_config_digest="g" * 64, clean=True, patch_digest="",
        suite_passed=True,
    )  # fmt: skip
    for kind, content in ((GATES, gates), (LINEAGE, {"code": "c", "lock": "1" * 64})):
        note(env, slot, 1, recorded.digest, kind, content, "ada")
    digests = Digests(recorded.digest, DATASET, "c", "1" * 64, "g" * 64, "e" * 64)
    make_stable_locally(env.ledger(), 1, seen=slot, digests=digests, actor="ada", reason="test")


def write_suite(root: Path, most: float = 8.0) -> None:
    """Write a suite in which every feature has bounds; the id and the label have expectations too."""
    about: list[dict[str, Any]] = [
        {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": name, "min_value": -8.0, "max_value": most},
        }
        for name in NAMES
    ]
    about.append({"type": "expect_column_values_to_be_unique", "kwargs": {"column": "id"}})
    about.append({"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 500_000}})
    columns = {"id": "int64", **dict.fromkeys(NAMES, "float64"), "diagnosis": "string"}
    content = {"name": MODEL, "expectations": about, "meta": {"towpath": {"columns": columns}}}
    path = root / "data" / MODEL / "expectations.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.fixture
def served(env: EnvironmentConfig) -> ServedModel:
    """Return the stable version, loaded as a gateway loads it."""
    model = load_served(env.place(env.ledger().version(MODEL, 1).ref), Measurements())
    write_training(env, model)
    return model


@pytest.fixture
def serve(env: EnvironmentConfig, served: ServedModel) -> Callable[..., list[str]]:
    """Return a function that has rows answered and logged by the gateway's own writer; it gives the requests' ids."""

    def answer(count: int, seed: int = 3, moved: float = 0.0, status: int = 200) -> list[str]:
        log = PredictionLog(LogOptions(env.log_dir))
        ids = [uuid4().hex for _ in range(count)]
        for request_id, row in zip(ids, features(count, seed, moved).tolist(), strict=True):
            batch = served.plan.from_rows([row], None)
            log.offer(served, Role.STABLE, 1, request_id, 7, batch, served.predict(batch), 0.004, status)
        log.close(30.0)
        assert log.counts.written == count
        return ids

    return answer
