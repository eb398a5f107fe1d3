"""Networks behind a real Transform graph: what TensorFlow predicts from raw columns is what TFX predicted, to 1e-5."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from components.runtime.savedmodel.runtime import SavedModelRuntime
from components.runtime.tensors import input_tensors
from components.stage.files import tree_digest, write_json
from components.training.core.parity import measure_parity
from components.types import record
from components.types.product import ProductRef
from components.types.training import PreparedSpec, TrainedModel, TrainingTask
from tests.feature_project import Project

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]
ROWS = 8_000
PARAMETERS = {
    "batch_size": 64,
    "checkpoint_every_s": 1000.0,
    "dropout": 0.1,
    "epochs": 6,
    "hidden": (16, 8),
    "learning_rate": 0.01,
    "patience": 3,
    "trials": 0,
    "weight_decay": 1e-4,
}
SWAPPED = """
import tensorflow as tf
import tensorflow_transform as tft
from components.models.tfx.mlp import build

def preprocessing_fn(inputs):
    fare = tf.reshape(tft.scale_to_z_score(inputs["fare"]), [-1, 1])
    return {"features": fare, "target": tf.cast(tf.equal(inputs["tipped"], "no"), tf.int64), "row_id": inputs["id"]}
"""


def trips() -> pa.Table:
    """Return columns of every type, with gaps, empty texts, zeros, and companies that few rows have."""
    rng = np.random.default_rng(7)
    fare, miles = rng.gamma(3, 5, ROWS), np.where(rng.random(ROWS) < 0.3, 0.0, rng.gamma(2, 2, ROWS))
    company = rng.choice(np.array(["", "Amber", "Birch", "Coral"], dtype=object), ROWS)
    company = np.where(rng.random(ROWS) < 0.03, np.array([f"only {row}" for row in range(ROWS)], dtype=object), company)
    night = rng.random(ROWS) < 0.3
    missing = rng.random((3, ROWS)) < 0.15
    score = fare / 15 + (company == "Amber") - night + 0.3 * missing[0] + rng.normal(0, 0.3, ROWS)
    columns = {
        "id": np.arange(ROWS),
        "fare": fare,
        "miles": pa.array(miles, mask=missing[0]),
        "company": pa.array(company.tolist(), mask=missing[1]),
        "month": rng.integers(1, 13, ROWS),
        "night": night,
        "stops (of 3)": pa.array(rng.integers(0, 3, ROWS), mask=missing[2]),
        "longitude": -87.6 + rng.normal(0, 0.05, ROWS),
        "tipped": np.where(score > 1.2, "yes", "no").astype(object),
        "price": 1e6 + 10 * score,
        "stars": np.digitize(score, [0.8, 1.2, 1.6]) * 10,
    }
    return pa.table(columns)


@dataclass(frozen=True)
class Trained:
    """What the tasks of one process left."""

    project: Project
    task: TrainingTask

    @property
    def product(self) -> ProductRef:
        folder = self.task.output_dir / "product"
        return ProductRef(folder, tree_digest(folder), "savedmodel")

    @property
    def error(self) -> Mapping[str, str]:
        return json.loads((self.task.output_dir / "error.json").read_text())

    def json(self, name: str) -> object:
        return json.loads((self.task.output_dir / name).read_text())

    def parity(self, runtime: SavedModelRuntime) -> float:
        folder = self.task.output_dir
        trained = TrainedModel(
            None, folder / "product", (), folder / "validation_output.npy", "tfx", 1, 1, 0, "savedmodel"
        )
        signature = runtime.load(self.product)
        return measure_parity(runtime, signature, self.project.prepared, self.task.spec, trained)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the code with modules of the user's own among the architectures."""
    root = tmp_path_factory.mktemp("home")
    shutil.copytree(ROOT / "components", root / "components", ignore=shutil.ignore_patterns("__pycache__"))
    module = Path(__file__).with_name("taxi_module.py").read_text()
    (root / "components/models/tfx/taxi.py").write_text(module)
    gives = '{"outputs": model(model.tft_layer_inference(raw))}'
    assert gives in module
    unfit = module.replace(gives, '{"a": model(model.tft_layer_inference(raw)), "b": serialized}')
    (root / "components/models/tfx/unfit.py").write_text(unfit)
    price = Path(__file__).with_name("price_module.py").read_text()
    (root / "components/models/tfx/price.py").write_text(price)
    (root / "components/models/tfx/swapped.py").write_text(SWAPPED)
    return root


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Project]:
    """Return the table prepared for each of its labels."""
    made = {}
    for label, task in {"tipped": "binary", "stars": "multiclass", "price": "regression"}.items():
        project = Project(tmp_path_factory.mktemp(label))
        others = [name for name in ("tipped", "stars", "price") if name != label]
        options = {"longitude": {"scale": "standard"}, "month": {"kind": "categorical"}}
        project.write(trips(), label, {"task": task, "columns": options, "exclude": others})
        project.prepare()
        made[label] = project
    return made


@pytest.fixture(scope="module")
def trained(
    tfx_python: Path, home: Path, projects: dict[str, Project], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Trained]:
    """Return all trainings, the one that is to be compared by a process that did nothing before."""
    asked = {
        "multiclass": ("stars", {}),
        "binary": ("tipped", {}),
        "regression": ("price", {}),
        "tuned": ("tipped", {"trials": 3, "epochs": 2}),
        "own": ("tipped", {"architecture": "taxi"}),
        "number": ("price", {"architecture": "price"}),
        "unfit": ("tipped", {"architecture": "unfit"}),
        "swapped": ("tipped", {"architecture": "swapped"}),
        "again": ("tipped", {}),
    }
    made = {}
    for name, (label, changes) in asked.items():
        made[name] = Trained(projects[label], make_task(name, projects[label], changes, tmp_path_factory))
    run(tfx_python, home, *(each for name, each in made.items() if "again" not in name))
    run(tfx_python, home, made["again"])
    return made


def make_task(
    name: str, project: Project, changes: Mapping[str, object], folders: pytest.TempPathFactory
) -> TrainingTask:
    parameters = {key: value for key, value in changes.items() if key != "architecture"}
    folder = folders.mktemp(f"task-{name}")
    task = TrainingTask(
        model="m",
        training=f"m-{name}",
        kind="tfx",
        architecture=str(changes.get("architecture", "mlp")),
        spec=record.read(PreparedSpec, project.prepared / "prepared.json"),
        prepared_dir=project.prepared,
        output_dir=folder,
        checkpoint_dir=folder / "checkpoints" / "1",
        parameters={**PARAMETERS, **parameters},
        seed=3,
        threads=1,
    )
    write_json(folder / "task.json", task)
    return task


def run(python: Path, home: Path, *trainings: Trained) -> None:
    script = Path(__file__).with_name("train_tasks.py")
    environment = {
        **os.environ,
        "PYTHONPATH": str(home),
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "OMP_NUM_THREADS": "1",
        "TF_NUM_INTRAOP_THREADS": "1",
    }
    files = [str(each.task.output_dir / "task.json") for each in trainings]
    done = subprocess.run(
        [str(python), str(script), *files], cwd=home, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture(scope="module")
def runtime() -> SavedModelRuntime:
    return SavedModelRuntime()


@pytest.mark.parametrize("name", ["binary", "multiclass", "regression", "tuned", "own", "number"])
def test_product_predicts_from_raw_columns_what_tfx_predicted(
    trained: dict[str, Trained], runtime: SavedModelRuntime, name: str
) -> None:
    rows = trained[name].project.rows("validation")
    assert rows.num_rows >= 1_000
    seen = set(trained[name].project.rows("train")["company"].to_pylist())
    assert {"", None} <= set(rows["company"].to_pylist())
    assert set(rows["company"].to_pylist()) - seen
    assert 0.0 in rows["miles"].to_pylist()

    assert trained[name].parity(runtime) <= 1e-5


@pytest.mark.parametrize("name", ["binary", "own"])
def test_network_has_learned(trained: dict[str, Trained], runtime: SavedModelRuntime, name: str) -> None:
    signature = runtime.load(trained[name].product)
    rows = trained[name].project.rows("test")

    outputs = runtime.predict(input_tensors(rows, signature.inputs))

    labels = np.array(rows["tipped"].to_pylist(), dtype=object)
    assert (outputs["prediction"] == labels).mean() > 0.8
    np.testing.assert_allclose(outputs["probabilities"].sum(axis=1), 1, atol=1e-6)


def test_same_task_in_another_process_gives_the_same_bytes(trained: dict[str, Trained]) -> None:
    first, again = trained["binary"], trained["again"]
    assert first.product.digest == again.product.digest
    assert first.json("course.json") == again.json("course.json")


def test_product_holds_a_savedmodel_and_a_signature_and_no_path(trained: dict[str, Trained]) -> None:
    folder = trained["binary"].product.directory
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"signature.json", "savedmodel/saved_model.pb", "savedmodel/fingerprint.pb"} <= files
    assert {path.parts[0] for path in map(Path, files)} == {"signature.json", "savedmodel"}
    graph = (folder / "savedmodel" / "saved_model.pb").read_bytes()
    assert str(trained["binary"].task.output_dir).encode() not in graph
    assert b"/tmp/" not in graph


def test_tuner_starts_with_the_configuration_and_the_best_set_is_used_and_kept(trained: dict[str, Trained]) -> None:
    tuned = trained["tuned"]
    kept = tuned.json("native/tfx/hyperparameters.json")
    losses = tuned.json("trials.json")
    assert len(losses) == 3
    assert set(kept) == {"learning_rate", "dropout", "width_scale"}
    metrics = [json.loads(line) for line in (tuned.task.output_dir / "metrics.jsonl").read_text().splitlines()]
    reached = min(line["value"] for line in metrics if line["name"] == "val_loss")
    assert reached == pytest.approx(min(losses), rel=1e-6)


def test_module_whose_model_does_not_fit_is_refused_with_what_is_expected(trained: dict[str, Trained]) -> None:
    error = trained["unfit"].error
    assert error["kind"] == "ConfigError"
    assert "components/models/tfx/unfit.py" in error["message"]
    assert "`probabilities` or `logits`" in error["message"]


def test_targets_that_count_the_classes_in_another_order_are_refused(trained: dict[str, Trained]) -> None:
    error = trained["swapped"].error
    assert error["kind"] == "ConfigError"
    assert "components/models/tfx/swapped.py: `preprocessing_fn` gives `target`" in error["message"]
    assert "give the index of the label in ('no', 'yes')" in error["message"]


def test_own_module_leaves_metrics_of_one_epoch(trained: dict[str, Trained]) -> None:
    own = trained["own"]
    metrics = [json.loads(line) for line in (own.task.output_dir / "metrics.jsonl").read_text().splitlines()]
    assert {line["name"] for line in metrics} == {"loss", "val_loss", "val_accuracy"}
    assert own.json("course.json") == {"epochs_run": 1, "best_epoch": 1, "resumed_from_epoch": 0}
