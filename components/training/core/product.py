"""Fuse preprocessing and network into one product: the graph from raw columns to the prediction.

Knows ONNX, and neither a framework nor where the graphs come from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, inliner

from components.errors import TrainingError
from components.stage.files import tree_digest, whole_directory, write_json
from components.training.core.onnx_graph import append_head, merge, names_of, seal
from components.types.dataset import ColumnType
from components.types.product import GRAPH_FILE, SIGNATURE_FILE, InputSpec, ProductRef, Signature
from components.types.training import PreparedSpec

NETWORK_OUTPUTS = ("logits", "probabilities", "value")
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
        model = merge(front, back, entry)
        append_head(model, exit_name, spec)
        seal(model, spec)
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
            f"{path} goes from {names_of(inputs)} to {names_of(outputs)}; "
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
