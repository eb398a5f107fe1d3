"""Work on ONNX graphs: put one behind another, answer in the user's own labels, leave out what differs from run to run.

Knows what a product's outputs are called, and neither files nor a framework.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from onnx import TensorProto, compose, helper, numpy_helper, version_converter

from components.errors import TrainingError
from components.types.training import PreparedSpec

FEATURES = "features"
_ROWS = "rows"


def merge(front: Any, back: Any, entry: str) -> Any:
    """Return both graphs as one; the names of `front` stay as they are, for they are the columns' own."""
    front, back = _equal_versions(front, back)
    prefix = _free_prefix("network/", [each.name for each in front.graph.input])
    for model in (front, back):
        del model.graph.value_info[:]  # sizes are inferred anew; two exporters' names for them would clash
    back = compose.add_prefix(back, prefix)
    return compose.merge_models(front, back, io_map=[(FEATURES, prefix + entry)])


def _equal_versions(front: Any, back: Any) -> tuple[Any, Any]:
    """Return both models at the higher of their operator sets and IR versions, as merging demands."""
    newest = max(_opsets(front)[""], _opsets(back)[""])
    front, back = (
        each if _opsets(each)[""] == newest else version_converter.convert_version(each, newest)
        for each in (front, back)
    )
    # operators of ai.onnx.ml kept their meaning from version 2 on; the checker refuses what an older one wrote
    domains: dict[str, int] = {}
    for model in (front, back):
        for domain, version in _opsets(model).items():
            domains[domain] = max(version, domains.get(domain, 0))
    ir_version = max(front.ir_version, back.ir_version)
    for model in (front, back):
        model.ir_version = ir_version
        del model.opset_import[:]
        model.opset_import.extend(helper.make_opsetid(name, domains[name]) for name in sorted(domains))
    return front, back


def append_head(model: Any, exit_name: str, spec: PreparedSpec) -> None:
    """Turn the network's output into ``prediction`` and, for classification, ``probabilities``."""
    graph = model.graph
    raw = graph.output[0].name
    prefix = _free_prefix("answer/", [each.name for each in graph.input])
    del graph.output[:]
    if spec.task.is_classification:
        _append_labels(graph, raw, exit_name == "logits", spec, prefix)
    else:
        _append_units(graph, raw, spec, prefix)


def _append_labels(graph: Any, raw: str, is_logits: bool, spec: PreparedSpec, prefix: str) -> None:
    index, classes = prefix + "index", prefix + "classes"
    first = helper.make_node("Identity", [raw], ["probabilities"], prefix + "identity")
    if is_logits:
        first = helper.make_node("Softmax", [raw], ["probabilities"], prefix + "softmax", axis=-1)
    graph.node.extend(
        [
            first,
            helper.make_node("ArgMax", ["probabilities"], [index], prefix + "argmax", axis=1, keepdims=0),
            helper.make_node("Gather", [classes, index], ["prediction"], prefix + "label"),
        ]
    )
    kind: Any = {str: np.object_, bool: np.bool_, int: np.int64}[type(spec.classes[0])]
    labels = numpy_helper.from_array(np.array(spec.classes, kind), classes)
    graph.initializer.append(labels)
    graph.output.append(helper.make_tensor_value_info("prediction", labels.data_type, [_ROWS]))
    shape: list[str | int | None] = [_ROWS, len(spec.classes)]
    graph.output.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, shape))


def _append_units(graph: Any, raw: str, spec: PreparedSpec, prefix: str) -> None:
    """Undo the standardisation in float64: the target's units may be large and finely divided."""
    constants = {
        "column": np.array([-1], np.int64),
        "scale": np.array(spec.target_scale, np.float64),
        "mean": np.array(spec.target_mean, np.float64),
    }
    graph.initializer.extend(numpy_helper.from_array(value, prefix + name) for name, value in constants.items())
    graph.node.extend(
        [
            helper.make_node("Reshape", [raw, prefix + "column"], [prefix + "flat"], prefix + "flatten"),
            helper.make_node("Cast", [prefix + "flat"], [prefix + "wide"], prefix + "cast", to=TensorProto.DOUBLE),
            helper.make_node("Mul", [prefix + "wide", prefix + "scale"], [prefix + "scaled"], prefix + "unscale"),
            helper.make_node("Add", [prefix + "scaled", prefix + "mean"], ["prediction"], prefix + "shift"),
        ]
    )
    graph.output.append(helper.make_tensor_value_info("prediction", TensorProto.DOUBLE, [_ROWS]))


def seal(model: Any, spec: PreparedSpec) -> None:
    """Put the inputs in the signature's order, and drop what exporters wrote about themselves.

    Stack traces with absolute paths are among it, so that bytes would differ from folder to folder.
    """
    inputs = {each.name: each for each in model.graph.input}
    if sorted(inputs) != sorted(each.name for each in spec.inputs):
        raise TrainingError(f"the preprocessing takes {names_of(model.graph.input)}, not the inputs that were prepared")
    del model.graph.input[:]
    model.graph.input.extend(inputs[each.name] for each in spec.inputs)
    model.graph.name = "product"
    model.producer_name, model.producer_version, model.domain, model.model_version = "towpath", "", "", 0
    model.graph.doc_string = model.doc_string = ""
    del model.metadata_props[:], model.graph.metadata_props[:]
    _strip_nodes(model.graph.node)
    for named in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        named.doc_string = ""
        del named.metadata_props[:]


def _strip_nodes(nodes: Iterable[Any]) -> None:
    for node in nodes:
        node.doc_string = ""
        del node.metadata_props[:]
        for attribute in node.attribute:
            attribute.doc_string = ""
            for graph in (attribute.g, *attribute.graphs):
                _strip_nodes(graph.node)


def _opsets(model: Any) -> dict[str, int]:
    opsets = {"" if each.domain == "ai.onnx" else each.domain: each.version for each in model.opset_import}
    return {"": 1, **opsets}


def _free_prefix(prefix: str, names: list[str]) -> str:
    """Return `prefix`, or a longer one that no column's name begins with."""
    while any(name.startswith(prefix) for name in names):
        prefix = "_" + prefix
    return prefix


def names_of(nodes: Iterable[Any]) -> str:
    """Return the names of a graph's inputs or outputs, for messages."""
    return ", ".join(f"`{node.name}`" for node in nodes) or "nothing"
