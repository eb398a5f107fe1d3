"""Small projects with hand-made products: real ONNX graphs over two numbers and a colour, no trainer needed."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from components.evaluation.record.config import EvaluationSection
from components.evaluation.record.stage import evaluate
from components.stage.files import file_digest, text_digest, tree_digest, write_json
from components.types.dataset import MANIFEST_FILE, TABLE_FILE, Column, ColumnType, DatasetManifest, Task
from components.types.product import GRAPH_FILE, SIGNATURE_FILE, InputSpec, ProductRef, Signature
from components.types.training import PREPARED_FILE, RESULT_FILE, PreparedSpec, TrainingResult

INPUTS = tuple(
    InputSpec(name, kind, (), nullable=False, columns=(name,))
    for name, kind in (("x1", ColumnType.FLOAT64), ("x2", ColumnType.FLOAT64), ("colour", ColumnType.STRING))
)
CLASSES: Mapping[Task, tuple] = {Task.BINARY: ("no", "yes"), Task.MULTICLASS: (0, 1, 2), Task.REGRESSION: ()}
GOOD = {
    Task.BINARY: [[-1.0, 1.0], [-0.6, 0.6]],
    Task.MULTICLASS: [[-2.0, 0.0, 2.0], [-1.2, 0.0, 1.2]],
    Task.REGRESSION: [[10.0], [6.0]],
}
BASELINES = {
    Task.BINARY: [[-1.0, 1.0], [-0.5, 0.5]],
    Task.MULTICLASS: [[-2.0, 0.0, 2.0], [-1.1, 0.0, 1.1]],
    Task.REGRESSION: [[10.0], [5.5]],
}


def write_product(directory: Path, task: Task, weights, inputs=INPUTS, classes=None, offset=0.0) -> ProductRef:
    """Write a linear product: scores = [x1, x2] @ weights; the colour is taken and not used."""
    classes = CLASSES[task] if classes is None else classes
    weights = np.asarray(weights, dtype=np.float64)
    column = numpy_helper.from_array(np.array([-1, 1], dtype=np.int64), "column")
    matrix = numpy_helper.from_array(weights, "weights")
    nodes = [helper.make_node("Reshape", [name, "column"], [f"{name}_column"]) for name in ("x1", "x2")] + [
        helper.make_node("Concat", ["x1_column", "x2_column"], ["raw"], axis=1),
        helper.make_node("MatMul", ["raw", "weights"], ["scores"]),
        helper.make_node("Identity", ["colour"], ["unused_colour"]),
    ]
    initializers = [column, matrix]
    if classes:
        kind = TensorProto.STRING if isinstance(classes[0], str) else TensorProto.INT64
        values = [each.encode() for each in classes] if isinstance(classes[0], str) else list(classes)
        initializers.append(helper.make_tensor("classes", kind, [len(classes)], values))
        nodes += [
            helper.make_node("Softmax", ["scores"], ["shares"], axis=1),
            helper.make_node("Cast", ["shares"], ["probabilities"], to=TensorProto.FLOAT),
            helper.make_node("ArgMax", ["scores"], ["winner"], axis=1, keepdims=0),
            helper.make_node("Gather", ["classes", "winner"], ["prediction"]),
        ]
        outputs = [
            helper.make_tensor_value_info("prediction", kind, ["rows"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", len(classes)]),
        ]
    else:
        initializers.append(numpy_helper.from_array(np.array([-1], dtype=np.int64), "flat"))
        initializers.append(numpy_helper.from_array(np.array(100.0 + offset), "mean"))
        nodes += [
            helper.make_node("Add", ["scores", "mean"], ["shifted"]),
            helper.make_node("Reshape", ["shifted", "flat"], ["prediction"]),
        ]
        outputs = [helper.make_tensor_value_info("prediction", TensorProto.DOUBLE, ["rows"])]
    kinds = {ColumnType.FLOAT64: TensorProto.DOUBLE, ColumnType.STRING: TensorProto.STRING}
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info(each.name, kinds[each.type], ["rows"]) for each in inputs],
        outputs,
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / GRAPH_FILE).write_bytes(model.SerializeToString(deterministic=True))
    write_json(directory / SIGNATURE_FILE, Signature(task, inputs, classes))
    return ProductRef(directory, tree_digest(directory))


def make_table(task: Task, rows: int, seed: int = 0) -> pa.Table:
    """Return rows whose label depends on x1 and x2, with noise; the colour says nothing."""
    rng = np.random.default_rng(seed)
    x1, x2 = rng.normal(0, 1, rows), rng.normal(0, 1, rows)
    signal = x1 + 0.6 * x2
    if task is Task.BINARY:
        label = pa.array(np.where(signal + rng.normal(0, 0.4, rows) > 0, "yes", "no").tolist())
    elif task is Task.MULTICLASS:
        label = pa.array(np.digitize(signal + rng.normal(0, 0.2, rows), [-0.5, 0.5]))
    else:
        label = pa.array(100 + 10 * signal + rng.normal(0, 3, rows))
    colour = pa.array(np.array(["red", "green", "blue"])[rng.integers(0, 3, rows)].tolist())
    ids = pa.array([f"row-{index:06d}" for index in range(rows)])
    return pa.table({"id": ids, "x1": x1, "x2": x2, "colour": colour, "label": label})


@dataclass(frozen=True)
class SmallProject:
    """A project in the layout of the pipeline, with prepared data and as many trainings as were added."""

    root: Path
    model: str
    task: Task
    spec: PreparedSpec

    @property
    def out(self) -> Path:
        return self.root / "out" / self.model

    @property
    def prepared(self) -> Path:
        return self.out / "prepared"

    def add_training(self, name: str, weights=None, *, kind: str = "keras", parity: float = 1e-7, **product) -> Path:
        folder = self.out / "trainings" / name
        made = write_product(folder / "product", self.task, GOOD[self.task] if weights is None else weights, **product)
        result = TrainingResult(
            model=self.model,
            training=name,
            kind=kind,
            architecture="linear",
            framework="by hand",
            product_digest=made.digest,
            dataset_digest=self.spec.dataset_digest,
            runtime="onnx",
            native_files=(),
            parameters={"epochs": 1},
            parity=parity,
            parity_bound=1e-4,
            product_bytes=(folder / "product" / GRAPH_FILE).stat().st_size,
            epochs_run=1,
            best_epoch=1,
        )
        write_json(folder / RESULT_FILE, result)
        return folder

    def configure(self, evaluation: str = "{}", gates: str = "{absolute: {accuracy: 0.8}}") -> None:
        path = self.root / "pipelines" / "configs" / f"{self.model}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        trainings = sorted(each.name for each in (self.out / "trainings").glob("*"))
        kinds = {name: "sklearn" if name.endswith("sklearn") else "keras" for name in trainings}
        section = {
            "data": {"source": {"kind": "sklearn", "table": "breast_cancer"}, "label": "label"},
            "features": {"task": self.task.value},
            "evaluation": yaml.safe_load(evaluation),
            "gates": yaml.safe_load(gates),
        }
        entries = {name: {"model": self.model, "kind": kinds[name], "architecture": "linear"} for name in trainings}
        path.write_text(yaml.safe_dump({"models": {self.model: section}, "trainings": entries}))

    def write_data(self) -> None:
        """Write the table that was prepared, and a suite that it meets."""
        folder = self.root / "data" / self.model
        (folder / "dataset").mkdir(parents=True)
        table = make_table(self.task, sum(self.spec.rows.values()))
        pq.write_table(table, folder / "dataset" / TABLE_FILE)
        kinds = {"string": ColumnType.STRING, "double": ColumnType.FLOAT64, "int64": ColumnType.INT64}
        types = {field.name: kinds[str(field.type)] for field in table.schema}
        manifest = DatasetManifest(
            model=self.model,
            digest=file_digest(folder / "dataset" / TABLE_FILE),
            rows=table.num_rows,
            columns=tuple(Column(name, kind, 0) for name, kind in types.items()),
            id_column="id",
            label_column="label",
            label_inputs=(),
            source_digest="0" * 64,
        )
        write_json(folder / "dataset" / MANIFEST_FILE, manifest)
        expectation = {
            "type": "expect_column_values_to_not_be_null",
            "kwargs": {"column": "x1"},
            "severity": "critical",
        }
        meta = {"towpath": {"columns": {name: kind.value for name, kind in types.items()}}}
        write_json(folder / "expectations.json", {"name": "small", "expectations": [expectation], "meta": meta})


def small_project_in(
    root: Path, task: Task = Task.BINARY, rows: int = 600, model: str = "small", spec_changes=None
) -> SmallProject:
    """Make a project for a task, in a folder of its own."""
    folder = root / "out" / model / "prepared"
    folder.mkdir(parents=True)
    table = make_table(task, rows)
    bounds = {"train": (0, rows // 2), "validation": (rows // 2, rows * 3 // 4), "test": (rows * 3 // 4, rows)}
    for split, (start, stop) in bounds.items():
        pq.write_table(table.slice(start, stop - start), folder / f"{split}.parquet")
    spec = PreparedSpec(
        model=model,
        task=task,
        inputs=INPUTS,
        classes=CLASSES[task],
        class_weights=tuple(1.0 for _ in CLASSES[task]),
        target_mean=0.0,
        target_scale=1.0,
        feature_names=("x1", "x2"),
        image_shape=None,
        rows={split: stop - start for split, (start, stop) in bounds.items()},
        dataset_digest=text_digest(f"{model} {task}"),
        id_column="id",
        label_column="label",
    )
    spec = replace(spec, **(spec_changes or {}))
    write_json(folder / PREPARED_FILE, spec)
    return SmallProject(root, model, task, spec)


@pytest.fixture
def small_project(tmp_path):
    """Return a function that makes a project for a task."""
    return partial(small_project_in, tmp_path)


@pytest.fixture(scope="session")
def evaluated_once(tmp_path_factory):
    """Return a function that gives the project of a task with a network and a baseline evaluated; only to be copied."""

    @cache
    def make(task: Task, slices: tuple[str, ...] = ()) -> SmallProject:
        project = small_project_in(tmp_path_factory.mktemp("evaluated"), task)
        section = EvaluationSection(bootstrap=100, slices=slices)
        for name, weights in (("small-net", None), ("small-sklearn", BASELINES[task])):
            folder = project.add_training(name, weights)
            evaluate(folder, project.prepared, section, project.out / "evaluations" / name)
        return project

    return make


@pytest.fixture
def evaluated(evaluated_once, tmp_path):
    """Return a function that gives a project of a task whose two trainings were evaluated, to be changed at will."""

    def make(task: Task = Task.BINARY, slices: tuple[str, ...] = ()) -> SmallProject:
        made = evaluated_once(task, slices)
        shutil.copytree(made.root, tmp_path, dirs_exist_ok=True)
        return replace(made, root=tmp_path)

    return make
