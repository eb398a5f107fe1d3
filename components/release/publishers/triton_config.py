"""A product's signature as the configuration of an NVIDIA Triton model. Pure; knows no folder.

Text of the `inference.ModelConfig` message (https://github.com/triton-inference-server/common, model_config.proto).
A product's first dimension is the row and may have any size. Triton's own batching would hide that dimension, and an
input of one number a row would then have no dimension left, which it does not allow; so `max_batch_size` is 0 and the
row is the first of the `dims`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from components.release.publishers.proto_text import quoted
from components.types.dataset import ColumnType
from components.types.product import GRAPH_FILE, Signature

_INPUTS: Mapping[ColumnType, str] = {
    ColumnType.FLOAT64: "TYPE_FP64",
    ColumnType.INT64: "TYPE_INT64",
    ColumnType.BOOL: "TYPE_BOOL",
    ColumnType.STRING: "TYPE_STRING",
}
_CLASSES: Mapping[type, str] = {str: "TYPE_STRING", int: "TYPE_INT64", bool: "TYPE_BOOL"}
_ROWS = -1


def config_text(name: str, version: int, digest: str, signature: Signature) -> str:
    """Return the configuration under which Triton serves exactly one version of a product."""
    lines = [
        f"name: {quoted(name)}",
        'platform: "onnxruntime_onnx"',
        'backend: "onnxruntime"',
        f"default_model_filename: {quoted(GRAPH_FILE)}",
        "max_batch_size: 0",
        f"version_policy {{ specific {{ versions: {version} }} }}",
    ]
    lines += [_tensor("input", each.name, _INPUTS[each.type], each.shape) for each in signature.inputs]
    lines += [_tensor("output", *each) for each in _outputs(signature)]
    lines.append(f'parameters {{ key: "towpath_digest" value {{ string_value: {quoted(digest)} }} }}')
    return "\n".join(lines) + "\n"


def _outputs(signature: Signature) -> list[tuple[str, str, Sequence[int]]]:
    if not signature.task.is_classification:
        return [("prediction", "TYPE_FP64", ())]
    kind = _CLASSES[type(signature.classes[0])]
    return [("prediction", kind, ()), ("probabilities", "TYPE_FP32", (len(signature.classes),))]


def _tensor(side: str, name: str, kind: str, shape: Sequence[int]) -> str:
    dims = ", ".join(str(size) for size in (_ROWS, *shape))
    return f"{side} {{ name: {quoted(name)} data_type: {kind} dims: [ {dims} ] }}"
