"""Write a constant as an ONNX graph from features to the same output for every row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from components.types.training import TrainingTask


def export(task: TrainingTask, native: tuple[Path, ...], network: Path) -> None:
    """Write the network: the features count for nothing, but say how many rows there are."""
    output = np.load(native[0], allow_pickle=False)
    name = "probabilities" if task.spec.classes else "value"
    weights = np.zeros((task.spec.n_features, task.spec.n_outputs), dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["features", "weights", "bias"], [name])],
        "constant",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", task.spec.n_features])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", task.spec.n_outputs])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(output, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    network.write_bytes(model.SerializeToString(deterministic=True))
