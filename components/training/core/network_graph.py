"""Write a network's graph so that the same weights give the same bytes, whatever its exporter counted or noted down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.errors import TrainingError
from components.types.training import PreparedSpec

FEATURES = "features"
_ROWS = "rows"


def write_network(model: Any, spec: PreparedSpec, path: Path) -> None:
    """Write an exporter's graph with names of our own: input ``features``, output ``logits`` or ``value``.

    Exporters number tensors by what else happened in their process, and note down stack traces with absolute paths.

    Raises:
        TrainingError: the graph has another number of inputs or outputs.
    """
    import onnx  # only where a graph is written: a trainer reads this file for its names

    graph = model.graph
    if len(graph.input) != 1 or len(graph.output) != 1:
        raise TrainingError(
            f"the exported network has {len(graph.input)} inputs and {len(graph.output)} outputs, expected one each; "
            "let the architecture take the features and return one tensor"
        )
    _rename(graph, "logits" if spec.classes else "value")
    for tensor, width in ((graph.input[0], spec.n_features), (graph.output[0], spec.n_outputs)):
        shape = (_ROWS, width)
        tensor.CopyFrom(onnx.helper.make_tensor_value_info(tensor.name, onnx.TensorProto.FLOAT, shape))
    clean = onnx.helper.make_model(graph, opset_imports=list(model.opset_import), ir_version=model.ir_version)
    clean.functions.extend(model.functions)
    path.write_bytes(clean.SerializeToString(deterministic=True))


def _rename(graph: Any, output: str) -> None:
    names = {graph.input[0].name: FEATURES, graph.output[0].name: output}
    for index, weights in enumerate(graph.initializer):
        names.setdefault(weights.name, f"weights_{index}")
    for index, node in enumerate(graph.node):
        node.name, node.doc_string = f"{node.op_type}_{index}", ""
        del node.metadata_props[:]
        for place, name in enumerate(node.output):
            if name:
                names.setdefault(name, f"{node.op_type}_{index}_{place}")
    for named in (*graph.input, *graph.output, *graph.initializer):
        named.name, named.doc_string = names[named.name], ""
        del named.metadata_props[:]
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    del graph.value_info[:], graph.quantization_annotation[:], graph.metadata_props[:]
    graph.name, graph.doc_string = "network", ""
