"""Small products made by hand, without training: for the gateway's bench and for tests. Knows nothing of either."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from components.runtime.signature import write_signature
from components.stage.files import tree_digest
from components.types.dataset import MISSING_STRING, ColumnType, Task
from components.types.product import GRAPH_FILE, InputSpec, ProductRef, Signature

_TENSOR_TYPES = {
    ColumnType.FLOAT64: TensorProto.DOUBLE,
    ColumnType.INT64: TensorProto.INT64,
    ColumnType.BOOL: TensorProto.BOOL,
    ColumnType.STRING: TensorProto.STRING,
}


def plain_input(name: str, kind: ColumnType = ColumnType.FLOAT64, nullable: bool = False) -> InputSpec:
    """Return an input that is one column."""
    return InputSpec(name, kind, (), nullable, (name,))


def network_product(folder: Path, n_inputs: int = 30, hidden: int = 64, seed: int = 0) -> ProductRef:
    """Make a classifier like breast_cancer's: numeric columns, scaled, one hidden layer, two string classes."""
    random = np.random.default_rng(seed)
    inputs = tuple(plain_input(f"feature_{index}") for index in range(n_inputs))
    weights: dict[str, Any] = {
        "column": np.array([-1, 1], np.int64),
        "mean": random.normal(size=n_inputs),
        "scale": random.uniform(0.5, 2.0, size=n_inputs),
        "w1": random.normal(scale=0.2, size=(n_inputs, hidden)).astype(np.float32),
        "b1": np.zeros(hidden, np.float32),
        "w2": random.normal(scale=0.2, size=(hidden, 2)).astype(np.float32),
        "b2": np.zeros(2, np.float32),
        "labels": np.array(["benign", "malignant"], object),
    }
    nodes = [
        *(helper.make_node("Reshape", [spec.name, "column"], [f"{spec.name}_column"]) for spec in inputs),
        helper.make_node("Concat", [f"{spec.name}_column" for spec in inputs], ["raw"], axis=1),
        helper.make_node("Sub", ["raw", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["scaled"]),
        helper.make_node("Cast", ["scaled"], ["features"], to=TensorProto.FLOAT),
        helper.make_node("Gemm", ["features", "w1", "b1"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Gemm", ["active", "w2", "b2"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["index"], axis=1, keepdims=0),
        helper.make_node("Gather", ["labels", "index"], ["prediction"]),
    ]
    return write_product(folder, Signature(Task.BINARY, inputs, ("benign", "malignant")), nodes, weights)


def sum_product(folder: Path, offset: float = 0.0) -> ProductRef:
    """Make a regression whose answer says which product gave it: ``prediction = x + offset``."""
    nodes = [helper.make_node("Add", ["x", "offset"], ["prediction"])]
    return write_product(
        folder, Signature(Task.REGRESSION, (plain_input("x"),), ()), nodes, {"offset": np.array(offset)}
    )


def mixed_product(folder: Path) -> ProductRef:
    """Make a regression over all column types: ``age + 1000 visits + 1e6 smoker + 1e7 (city is Oslo)``.

    ``age`` and ``city`` may be missing: a missing age counts as 500, a missing city as 2e7.
    """
    inputs = (
        plain_input("age", nullable=True),
        plain_input("visits", ColumnType.INT64),
        plain_input("smoker", ColumnType.BOOL),
        plain_input("city", ColumnType.STRING, nullable=True),
    )
    weights: dict[str, Any] = {
        "no_age": np.array(500.0),
        "thousand": np.array(1000.0),
        "million": np.array(1e6),
        "oslo": np.array(["Oslo"], object),
        "missing": np.array([MISSING_STRING], object),
        "oslo_weight": np.array(1e7),
        "missing_weight": np.array(2e7),
    }
    double = TensorProto.DOUBLE
    nodes = [
        helper.make_node("IsNaN", ["age"], ["age_is_missing"]),
        helper.make_node("Where", ["age_is_missing", "no_age", "age"], ["age_part"]),
        helper.make_node("Cast", ["visits"], ["visits_number"], to=double),
        helper.make_node("Mul", ["visits_number", "thousand"], ["visits_part"]),
        helper.make_node("Cast", ["smoker"], ["smoker_number"], to=double),
        helper.make_node("Mul", ["smoker_number", "million"], ["smoker_part"]),
        helper.make_node("Equal", ["city", "oslo"], ["is_oslo"]),
        helper.make_node("Cast", ["is_oslo"], ["oslo_number"], to=double),
        helper.make_node("Mul", ["oslo_number", "oslo_weight"], ["oslo_part"]),
        helper.make_node("Equal", ["city", "missing"], ["city_is_missing"]),
        helper.make_node("Cast", ["city_is_missing"], ["missing_number"], to=double),
        helper.make_node("Mul", ["missing_number", "missing_weight"], ["missing_part"]),
        helper.make_node(
            "Sum", ["age_part", "visits_part", "smoker_part", "oslo_part", "missing_part"], ["prediction"]
        ),
    ]
    return write_product(folder, Signature(Task.REGRESSION, inputs, ()), nodes, weights)


def image_product(folder: Path, side: int = 2) -> ProductRef:
    """Make a classifier of images into integer classes: class 1 where the mean is above 0.5."""
    columns = tuple(f"pixel_{index}" for index in range(side * side))
    inputs = (InputSpec("image", ColumnType.FLOAT64, (side, side), False, columns),)
    weights: dict[str, Any] = {
        "axes": np.array([1, 2], np.int64),
        "column": np.array([1], np.int64),
        "one": np.array(1.0, np.float32),
    }
    nodes = [
        helper.make_node("ReduceMean", ["image", "axes"], ["mean"], keepdims=0),
        helper.make_node("Cast", ["mean"], ["p_one"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["one", "p_one"], ["p_zero"]),
        helper.make_node("Unsqueeze", ["p_one", "column"], ["one_column"]),
        helper.make_node("Unsqueeze", ["p_zero", "column"], ["zero_column"]),
        helper.make_node("Concat", ["zero_column", "one_column"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["prediction"], axis=1, keepdims=0),
    ]
    return write_product(folder, Signature(Task.BINARY, inputs, (0, 1)), nodes, weights)


def slow_product(folder: Path, size: int = 1200) -> ProductRef:
    """Make a regression that multiplies large matrices for every row: ``prediction = x``, after a while."""
    nodes = [
        helper.make_node("Reshape", ["x", "rows"], ["column"]),
        helper.make_node("Mul", ["column", "square"], ["batch"]),
        helper.make_node("MatMul", ["batch", "square"], ["product"]),
        helper.make_node("ReduceSum", ["product", "axes"], ["work"], keepdims=0),
        helper.make_node("Mul", ["work", "zero"], ["nothing"]),
        helper.make_node("Add", ["x", "nothing"], ["prediction"]),
    ]
    weights: dict[str, Any] = {
        "rows": np.array([-1, 1, 1], np.int64),
        "square": np.ones((size, size)) / size,
        "axes": np.array([1, 2], np.int64),
        "zero": np.array(0.0),
    }
    return write_product(folder, Signature(Task.REGRESSION, (plain_input("x"),), ()), nodes, weights)


def write_product(folder: Path, signature: Signature, nodes: Sequence[Any], weights: dict[str, Any]) -> ProductRef:
    """Write a product whose graph is these nodes over these constants; names are those of the signature."""
    kinds = {str: TensorProto.STRING, int: TensorProto.INT64, bool: TensorProto.BOOL}
    kind = kinds[type(signature.classes[0])] if signature.classes else TensorProto.DOUBLE
    outputs = [helper.make_tensor_value_info("prediction", kind, ["rows"])]
    if signature.classes:
        shape: list[Any] = ["rows", len(signature.classes)]
        outputs.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, shape))
    inputs = [
        helper.make_tensor_value_info(spec.name, _TENSOR_TYPES[spec.type], ["rows", *spec.shape])
        for spec in signature.inputs
    ]
    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    graph = helper.make_graph(list(nodes), "product", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    onnx.checker.check_model(model)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / GRAPH_FILE)
    write_signature(folder, signature)
    return ProductRef(folder, tree_digest(folder))
