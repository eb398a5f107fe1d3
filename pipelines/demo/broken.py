"""Versions that pass every check on known rows and fail on others: a fault fused into a real product's graph.

Each fault wakes on rows whose values the validation split does not hold, as a fault that only real traffic shows
would. Up to there the product is what it was made from.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from components.errors import BadInputError
from components.stage.files import tree_digest
from components.types.product import GRAPH_FILE, SIGNATURE_FILE, ProductRef, Signature

OPSET = 21
_SIZE = 320
"""Rows and columns of the matrices that cost time."""
_ROUNDS = 12


class Fault(StrEnum):
    """What is wrong with a version."""

    WRONG_LABELS = "wrong labels"
    SLOW = "slow"
    CRASHING = "crashing"


SENTENCES = {
    Fault.WRONG_LABELS: "gives the other class for rows that the validation split does not hold",
    Fault.SLOW: f"multiplies {_ROUNDS} matrices of {_SIZE} x {_SIZE} for the larger half of such rows",
    Fault.CRASHING: "fails on such rows",
}


def break_product(
    product: ProductRef, signature: Signature, fault: Fault, column: str, known: Sequence[float], into: Path
) -> ProductRef:
    """Write a broken copy of a product.

    Args:
        product: A binary classifier with text labels.
        signature: Its signature.
        fault: What is to be wrong with it.
        column: The number by which rows are told apart.
        known: The column's values in rows on which it is to work well.
        into: A folder that does not exist yet.

    Raises:
        BadInputError: the product is no ONNX graph.
    """
    if product.runtime != "onnx":
        raise BadInputError(
            f"{product.directory} is a product for {product.runtime}, and a fault can be fused into an ONNX graph "
            "alone; play the demo with a version that is one"
        )
    model = onnx.load(product.directory / GRAPH_FILE)
    graph = model.graph
    for name in ("prediction", "probabilities"):
        _rename(graph, name, f"sound_{name}")
    graph.node.extend(_trigger(column))
    graph.node.extend(_FAULTS[fault]())
    constants = {**_COMMON, "fault_known": np.asarray(known, np.float64), **_weights(fault, signature, known)}
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    opsets = {each.domain: each.version for each in model.opset_import}
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in opsets.items())
    onnx.checker.check_model(model)
    into.mkdir(parents=True)
    onnx.save(model, into / GRAPH_FILE)
    (into / SIGNATURE_FILE).write_bytes((product.directory / SIGNATURE_FILE).read_bytes())
    return ProductRef(into, tree_digest(into), product.runtime)


_COMMON: dict[str, Any] = {
    "fault_axis": np.array([1], np.int64),
    "fault_near": np.array(1e-9),
    "fault_from": np.array(0.0),
}


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Give a graph's output another name inside, so that its own name is free for what comes after it."""
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == old:
                    names[place] = new


def _trigger(column: str) -> list[onnx.NodeProto]:
    """Nodes that say of every row whether its value is positive and none of those known: `fault_awake`, bool (n,)."""
    node = helper.make_node
    return [
        node("Unsqueeze", [column, "fault_axis"], ["fault_column"]),
        node("Sub", ["fault_column", "fault_known"], ["fault_apart"]),
        node("Abs", ["fault_apart"], ["fault_distance"]),
        node("ReduceMin", ["fault_distance", "fault_axis"], ["fault_nearest"], keepdims=0),
        node("Greater", ["fault_nearest", "fault_near"], ["fault_unknown"]),
        node("Greater", [column, "fault_from"], ["fault_real"]),  # a row that only warms up is none
        node("And", ["fault_unknown", "fault_real"], ["fault_awake"]),
    ]


def _wrong_labels() -> list[onnx.NodeProto]:
    node = helper.make_node
    return [
        node("Equal", ["sound_prediction", "fault_class"], ["fault_is_first"]),
        node("Where", ["fault_is_first", "fault_other", "fault_class"], ["fault_swapped"]),
        node("Where", ["fault_awake", "fault_swapped", "sound_prediction"], ["prediction"]),
        node("Gather", ["sound_probabilities", "fault_reversed"], ["fault_mirrored"], axis=1),
        node("Unsqueeze", ["fault_awake", "fault_axis"], ["fault_awake_column"]),
        node("Where", ["fault_awake_column", "fault_mirrored", "sound_probabilities"], ["probabilities"]),
    ]


def _slow() -> list[onnx.NodeProto]:
    """Work whose result is 0, added to the rows' numbers: only where a row is awake, and never optimised away."""
    node = helper.make_node
    work = [node("Mul", ["fault_matrix", "fault_scale"], ["round_0"])]
    work += [node("MatMul", [f"round_{i}", "fault_matrix"], [f"round_{i + 1}"]) for i in range(_ROUNDS)]
    work += [
        node("ReduceSum", [f"round_{_ROUNDS}"], ["work_sum"], keepdims=0),
        node("Mul", ["work_sum", "fault_nothing"], ["work_nothing"]),
        node("Cast", ["work_nothing"], ["work"], to=TensorProto.INT64),
    ]
    rest = [node("Identity", ["fault_start"], ["rest"])]
    then, otherwise = (
        helper.make_graph(nodes, name, [], [helper.make_tensor_value_info(name, TensorProto.INT64, [])])
        for nodes, name in ((work, "work"), (rest, "rest"))
    )
    return [
        node("Cast", ["fault_awake"], ["fault_scales"], to=TensorProto.FLOAT),
        node("ReduceMax", ["fault_scales"], ["fault_scale"], keepdims=0),
        node("Cast", ["fault_scale"], ["fault_any"], to=TensorProto.BOOL),
        node("If", ["fault_any"], ["fault_offset"], then_branch=then, else_branch=otherwise),
        node("Shape", ["sound_prediction"], ["fault_shape"]),
        node("Squeeze", ["fault_shape"], ["fault_rows"]),
        node("Range", ["fault_start", "fault_rows", "fault_step"], ["fault_numbers"]),
        node("Add", ["fault_numbers", "fault_offset"], ["fault_places"]),
        node("Gather", ["sound_prediction", "fault_places"], ["prediction"], axis=0),
        node("Gather", ["sound_probabilities", "fault_places"], ["probabilities"], axis=0),
    ]


def _crashing() -> list[onnx.NodeProto]:
    """Where a row is awake, the predictions are to take a shape that has no room for them."""
    node = helper.make_node
    return [
        node("Cast", ["fault_awake"], ["fault_flags"], to=TensorProto.INT64),
        node("ReduceSum", ["fault_flags"], ["fault_missing"], keepdims=1),
        node("Shape", ["sound_prediction"], ["fault_rows"]),
        node("Add", ["fault_rows", "fault_missing"], ["fault_shape"]),
        node("Reshape", ["sound_prediction", "fault_shape"], ["prediction"]),
        node("Identity", ["sound_probabilities"], ["probabilities"]),
    ]


def _weights(fault: Fault, signature: Signature, known: Sequence[float]) -> dict[str, Any]:
    if fault is Fault.WRONG_LABELS:
        first, other = signature.classes
        return {
            "fault_class": np.array([first], object),
            "fault_other": np.array([other], object),
            "fault_reversed": np.array([1, 0], np.int64),
        }
    if fault is Fault.SLOW:
        matrix = np.full((_SIZE, _SIZE), 1 / _SIZE, np.float32)
        numbers = {"fault_start": np.array(0, np.int64), "fault_step": np.array(1, np.int64)}
        half = {"fault_from": np.array(np.median(known))}  # all of them would keep the other versions' cores busy
        return {"fault_matrix": matrix, "fault_nothing": np.array(0, np.float32), **numbers, **half}
    return {}


_FAULTS = {Fault.WRONG_LABELS: _wrong_labels, Fault.SLOW: _slow, Fault.CRASHING: _crashing}
