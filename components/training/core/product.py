"""Fuse preprocessing and network into one product: the graph from raw columns to the prediction.

Knows ONNX, and neither a framework nor where the graphs come from.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, compose, helper, inliner, numpy_helper, version_converter

from components.errors import TrainingError
from components.stage.files import tree_digest, whole_directory, write_json
from components.types.dataset import ColumnType
from components.types.product import GRAPH_FILE, SIGNATURE_FILE, InputSpec, ProductRef, Signature
from components.types.training import PreparedSpec

FEATURES = "features"
NETWORK_OUTPUTS = ("logits", "probabilities", "value")
_ROWS = "rows"
_DTYPES = {
    ColumnType.FLOAT64: np.float64,
    ColumnType.INT64: np.int64,
    ColumnType.BOOL: np.bool_,
    ColumnType.STRING: np.object_,
}


def fuse(preprocessing: Path, network: Path, spec: PreparedSpec, product_dir: Path) -> ProductRef:
    """Write the product of `preprocessing` and `network` to `product_dir`, and load it once to be sure.

    Args:
        preprocessing: The graph from raw columns to ``features``, as `prepare` wrote it.
        network: A graph from one float32 tensor of shape (n_rows, n_features) to one of `NETWORK_OUTPUTS`.
        spec: What `prepare` wrote beside the preprocessing.
        product_dir: The folder to write; what it held before is replaced.

    Returns:
        The product; the same graphs give the same bytes.

    Raises:
        TrainingError: the network is not of this form, or the fused graph does not run.
    """
    front, back = _load(preprocessing), _load(network)
    entry, exit_name = _check_network(back, spec, network)
    try:
        model = _merge(front, back, entry)
        _append_head(model, exit_name, spec)
        _seal(model, spec)
        payload = model.SerializeToString(deterministic=True)
        onnx.checker.check_model(payload, full_check=True)
        _try(payload, spec)
    except TrainingError:
        raise
    except Exception as error:  # onnx and onnxruntime raise errors of many kinds, without a common base
        words = " ".join(str(error).split())[:300]
        raise TrainingError(f"{network} cannot be fused behind the preprocessing: {words}") from error
    with whole_directory(product_dir) as folder:
        (folder / GRAPH_FILE).write_bytes(payload)
        write_json(folder / SIGNATURE_FILE, Signature(task=spec.task, inputs=spec.inputs, classes=spec.classes))
    return ProductRef(directory=product_dir, digest=tree_digest(product_dir))


def _load(path: Path) -> Any:
    try:
        model = onnx.load(str(path))  # weights in files beside it come in, and stay in
    except Exception as error:
        raise TrainingError(
            f"{path} is no ONNX graph that can be read: {' '.join(str(error).split())[:300]}"
        ) from error
    if model.functions:
        model = inliner.inline_local_functions(model)
    return model


def _check_network(model: Any, spec: PreparedSpec, path: Path) -> tuple[str, str]:
    """Return the names of the network's input and output, once they are what a network may have."""
    weights = {each.name for each in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in weights]
    outputs = list(model.graph.output)
    allowed = NETWORK_OUTPUTS[:2] if spec.task.is_classification else NETWORK_OUTPUTS[2:]
    if len(inputs) != 1 or len(outputs) != 1 or outputs[0].name not in allowed:
        raise TrainingError(
            f"{path} goes from {_names(inputs)} to {_names(outputs)}; "
            f"a network for {spec.task.value} has one input and one output named {' or '.join(allowed)}"
        )
    for node, width in ((inputs[0], spec.n_features), (outputs[0], spec.n_outputs)):
        kind = node.type.tensor_type
        dims = [d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim]
        wrong = kind.HasField("shape") and (len(dims) != 2 or dims[0] is not None or dims[1] not in (None, width))
        if kind.elem_type != TensorProto.FLOAT or wrong:
            found = f"{TensorProto.DataType.Name(kind.elem_type).lower()} of shape {dims}"
            raise TrainingError(
                f"{path}: `{node.name}` is {found}; expected float of shape (any number of rows, {width})"
            )
    return inputs[0].name, outputs[0].name


def _merge(front: Any, back: Any, entry: str) -> Any:
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


def _append_head(model: Any, exit_name: str, spec: PreparedSpec) -> None:
    """Turn the network's output into ``prediction`` and, for classification, ``probabilities``."""
    graph = model.graph
    raw = graph.output[0].name
    prefix = _free_prefix("answer/", [each.name for each in graph.input])
    del graph.output[:]
    if spec.task.is_classification:
        operator = helper.make_node("Softmax", [raw], ["probabilities"], prefix + "softmax", axis=-1)
        if exit_name == "probabilities":
            operator = helper.make_node("Identity", [raw], ["probabilities"], prefix + "probabilities")
        graph.node.extend(
            [
                operator,
                helper.make_node(
                    "ArgMax", ["probabilities"], [prefix + "index"], prefix + "argmax", axis=1, keepdims=0
                ),
                helper.make_node("Gather", [prefix + "classes", prefix + "index"], ["prediction"], prefix + "label"),
            ]
        )
        labels = _labels(spec.classes, prefix + "classes")
        graph.initializer.append(labels)
        graph.output.append(helper.make_tensor_value_info("prediction", labels.data_type, [_ROWS]))
        shape: list[str | int | None] = [_ROWS, len(spec.classes)]
        graph.output.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, shape))
        return
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


def _labels(classes: tuple[str | int | bool, ...], name: str) -> Any:
    dtype: Any = {str: np.object_, bool: np.bool_, int: np.int64}[type(classes[0])]
    return numpy_helper.from_array(np.array(classes, dtype), name)


def _seal(model: Any, spec: PreparedSpec) -> None:
    """Put the inputs in the signature's order, and drop what exporters wrote about themselves.

    Stack traces with absolute paths are among it, so that bytes would differ from folder to folder.
    """
    inputs = {each.name: each for each in model.graph.input}
    if sorted(inputs) != sorted(each.name for each in spec.inputs):
        raise TrainingError(f"the preprocessing takes {_names(model.graph.input)}, not the inputs that were prepared")
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


def _try(payload: bytes, spec: PreparedSpec) -> None:
    """Load the graph and predict one row and three: an export that succeeded proves nothing."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(payload, options, providers=["CPUExecutionProvider"])
    for n_rows in (1, 3):
        outputs = session.run(None, {each.name: _empty(each, n_rows) for each in spec.inputs})
        shapes = [output.shape for output in outputs]
        expected = [(n_rows,), (n_rows, len(spec.classes))][: 1 + spec.task.is_classification]
        if shapes != expected:
            raise TrainingError(f"the product of {n_rows} rows has outputs of shapes {shapes}, expected {expected}")


def _empty(spec: InputSpec, n_rows: int) -> np.ndarray[Any, Any]:
    filler: Any = "" if spec.type is ColumnType.STRING else 0
    return np.full((n_rows, *spec.shape), filler, dtype=_DTYPES[spec.type])


def _opsets(model: Any) -> dict[str, int]:
    opsets = {"" if each.domain == "ai.onnx" else each.domain: each.version for each in model.opset_import}
    return {"": 1, **opsets}


def _free_prefix(prefix: str, names: list[str]) -> str:
    """Return `prefix`, or a longer one that no column's name begins with."""
    while any(name.startswith(prefix) for name in names):
        prefix = "_" + prefix
    return prefix


def _names(nodes: Iterable[Any]) -> str:
    return ", ".join(f"`{node.name}`" for node in nodes) or "nothing"
