"""A project in a folder of its own, with a small prepared set that can be learned."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from components.stage.files import write_json
from components.types import record
from components.types.dataset import ColumnType, Task
from components.types.features import FeaturePlan, ImagePlan, NumberPlan, TargetPlan
from components.types.product import InputSpec
from components.types.training import PreparedSpec, TrainingResult

ROOT = Path(__file__).resolve().parents[3]
ROWS = {"train": 400, "validation": 120, "test": 80}
DUMP_MODULES = """
import atexit, os, sys
def dump():
    name = os.path.basename('-'.join(sys.argv[1:2])) or 'none'
    open(f'modules-{os.getpid()}-{name}.txt', 'w').write('\\n'.join(sys.modules))
atexit.register(dump)
leave = os._exit
def leave_after_dump(code):
    dump()
    leave(code)
os._exit = leave_after_dump
"""


@dataclass(frozen=True)
class Run:
    """What became of one call of the stage."""

    code: int
    error: dict[str, str] | None
    output: str
    events: list[dict[str, object]]


@dataclass(frozen=True)
class Project:
    """A copy of the code, one model's configuration and its prepared data."""

    root: Path
    model: str
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def configure(self, training: str, **keys: object) -> str:
        path = self.root / f"pipelines/configs/{self.model}.yaml"
        content = yaml.safe_load(path.read_text()) if path.is_file() else {"models": {self.model: {}}, "trainings": {}}
        content["trainings"][training] = {"model": self.model, **keys}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content))
        return training

    def start(self, training: str, **environment: str) -> subprocess.Popen[bytes]:
        calls = self.call_dir(training)
        shutil.rmtree(calls, ignore_errors=True)
        calls.mkdir(parents=True)
        command = [sys.executable, "-m", "components.training", self.model, training]
        env = {**os.environ, "TOWPATH_CALL_DIR": str(calls), **environment}
        process = subprocess.Popen(command, cwd=self.root, env=env)
        self.started.append(process)
        return process

    def train(self, training: str, **environment: str) -> Run:
        code = self.start(training, **environment).wait(600)
        calls = self.call_dir(training)
        error = calls / "error.json"
        logs = [path.read_text() for path in calls.glob("*.log")]
        return Run(
            code, json.loads(error.read_text()) if error.is_file() else None, "".join(logs), self.events(training)
        )

    def call_dir(self, training: str) -> Path:
        return self.root / ".towpath/calls" / training

    def events(self, training: str) -> list[dict[str, object]]:
        path = self.call_dir(training) / "progress.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []

    def output(self, training: str) -> Path:
        return self.root / "out" / self.model / "trainings" / training

    def result(self, training: str) -> TrainingResult:
        return record.read(TrainingResult, self.output(training) / "result.json")

    def metrics(self, training: str) -> list[dict[str, float]]:
        return [json.loads(line) for line in (self.output(training) / "metrics.jsonl").read_text().splitlines()]

    @property
    def temporary(self) -> Path:
        return self.root / "tmp"

    @property
    def prepared(self) -> Path:
        return self.root / "out" / self.model / "prepared"


@dataclass(frozen=True)
class Trained:
    """A finished training ``t``, which tests only look at."""

    project: Project
    training: str
    keys: dict[str, object]
    run: Run
    took_s: float

    @property
    def modules(self) -> dict[str, set[str]]:
        """Return what each of its processes had imported at its end, by its first argument."""
        paths = self.project.root.glob("modules-*.txt")
        return {path.stem.split("-", 2)[2]: set(path.read_text().split()) for path in paths}


@pytest.fixture(scope="module")
def train_once(tmp_path_factory):
    """Return a function that gives the finished training of a kind on a table, trained when it is first asked for."""
    made: dict[tuple[str, str], Trained] = {}

    def train(kind: str, table: str, **keys: object) -> Trained:
        if (kind, table) not in made:
            project = lay_out(tmp_path_factory.mktemp(kind) / table, table)
            (project.root / "sitecustomize.py").write_text(DUMP_MODULES)
            training = project.configure("t", kind=kind, **keys)
            started_s = time.monotonic()
            project.temporary.mkdir()
            run = project.train(training, PYTHONPATH=".", TMPDIR=str(project.temporary))
            assert run.error is None, run.output
            made[kind, table] = Trained(project, training, {"kind": kind, **keys}, run, time.monotonic() - started_s)
        return made[kind, table]

    return train


@pytest.fixture
def make_project(tmp_path):
    made: dict[Path, Project] = {}

    def make(table: str, folder: str = "") -> Project:
        root = tmp_path / folder / table
        if root not in made:
            made[root] = lay_out(root, table)
        return made[root]

    yield make
    for process in (each for project in made.values() for each in project.started):
        if process.poll() is None:  # its test failed; its workers end with it
            process.kill()
            process.wait()


def lay_out(root: Path, table: str) -> Project:
    shutil.copytree(ROOT / "components", root / "components", copy_function=shutil.copy2)
    write_prepared(root / "out" / table / "prepared", table)
    return Project(root, table)


def write_prepared(folder: Path, table: str) -> None:
    folder.mkdir(parents=True)
    columns, label, classes, shape = make_table(table)
    spec = make_spec(table, columns, label, classes, shape)
    scale = 1 / 16 if shape else 1.0
    first = 0
    for split, rows in ROWS.items():
        part = slice(first, first + rows)
        first += rows
        arrays = {"id": np.arange(part.start, part.stop), "label": label[part]}
        pq.write_table(
            pa.table(arrays | {name: values[part] for name, values in columns.items()}), folder / f"{split}.parquet"
        )
        if split == "test":
            continue
        features = np.stack([values[part] for values in columns.values()], axis=1) * scale
        np.save(folder / f"{split}.features.npy", features.astype(np.float32))
        if classes:
            target = np.array([classes.index(value) for value in label[part].tolist()], dtype=np.int64)
        else:
            target = ((label[part] - spec.target_mean) / spec.target_scale).astype(np.float32)
        np.save(folder / f"{split}.target.npy", target)
    write_json(folder / "prepared.json", spec)
    write_json(folder / "features.json", make_plan(spec, label, scale))
    onnx.save(preprocessing(spec, scale), folder / "preprocessing.onnx")


def make_table(table):
    """Return columns, label, classes and the image's shape."""
    random, rows = np.random.default_rng(3), sum(ROWS.values())
    if table == "image":
        corner = random.integers(0, 4, rows)
        pixels = random.uniform(0, 4, (rows, 8, 8))
        for row, where in enumerate(corner):
            pixels[row, 4 * (where // 2) :, :][:4, 4 * (where % 2) :][:, :4] += 10
        flat = pixels.reshape(rows, 64)
        return {f"pixel_{i:02}": flat[:, i] for i in range(64)}, corner, (0, 1, 2, 3), (8, 8)
    values = random.normal(size=(rows, 5))
    columns = {name: values[:, index] for index, name in enumerate(["a b", "c-d", "e", "f", "g"])}
    score = values @ np.array([1.5, -2.0, 1.0, 0.5, 0.0])
    if table == "binary":
        return columns, np.where(score > 0.3, "yes", "no"), ("no", "yes"), None
    if table == "multiclass":
        return columns, np.digitize(score, [-1.0, 1.0]) * 10, (0, 10, 20), None
    return columns, 50 + 10 * score + random.normal(size=rows), (), None


def make_spec(table, columns, label, classes, shape) -> PreparedSpec:
    task = {"binary": Task.BINARY, "regression": Task.REGRESSION}.get(table, Task.MULTICLASS)
    if shape:
        inputs = (InputSpec("image", ColumnType.FLOAT64, shape, nullable=False, columns=tuple(columns)),)
    else:
        inputs = tuple(InputSpec(name, ColumnType.FLOAT64, (), nullable=False, columns=(name,)) for name in columns)
    return PreparedSpec(
        model=table,
        task=task,
        inputs=inputs,
        classes=classes,
        class_weights=tuple(1.0 for _ in classes),
        target_mean=float(label.mean()) if not classes else 0.0,
        target_scale=float(label.std()) if not classes else 1.0,
        feature_names=tuple(columns),
        image_shape=(*shape, 1) if shape else None,
        rows=ROWS,
        dataset_digest="0" * 64,
        id_column="id",
        label_column="label",
    )


def make_plan(spec: PreparedSpec, label: np.ndarray, scale: float) -> FeaturePlan:
    """Return in words what `preprocessing` returns as a graph."""
    kind = {"U": ColumnType.STRING, "i": ColumnType.INT64, "f": ColumnType.FLOAT64}[label.dtype.kind]
    plain = [each for each in spec.inputs if not each.shape]
    return FeaturePlan(
        numbers=tuple(
            NumberPlan(each, each.type, "numeric", "mean", "none", 0.0, 0.0, 1.0, marks_missing=False, largest=5.0)
            for each in plain
        ),
        categories=(),
        images=tuple(ImagePlan(each, 1 / scale) for each in spec.inputs if each.shape),
        feature_names=spec.feature_names,
        constant=(),
        target=TargetPlan(spec.label_column, kind, spec.classes, spec.target_mean, spec.target_scale),
    )


def preprocessing(spec: PreparedSpec, scale: float) -> onnx.ModelProto:
    """Return the graph from raw columns to features."""
    values = [helper.make_tensor_value_info(i.name, TensorProto.DOUBLE, ["rows", *i.shape]) for i in spec.inputs]
    nodes = [helper.make_node("Reshape", [i.name, "column"], [f"{i.name}_column"]) for i in spec.inputs]
    nodes += [
        helper.make_node("Concat", [f"{i.name}_column" for i in spec.inputs], ["matrix"], axis=1),
        helper.make_node("Mul", ["matrix", "scale"], ["scaled"]),
        helper.make_node("Cast", ["scaled"], ["features"], to=TensorProto.FLOAT),
    ]
    width = spec.n_features // len(spec.inputs)
    constants = [
        numpy_helper.from_array(np.array([-1, width], dtype=np.int64), "column"),
        numpy_helper.from_array(np.array(scale, dtype=np.float64), "scale"),
    ]
    output = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", spec.n_features])
    graph = helper.make_graph(nodes, "preprocessing", values, [output], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
