"""A model's status and metadata as TensorFlow Serving's REST API tells them. Knows nothing of requests.

The API: https://www.tensorflow.org/tfx/serving/api_rest; the two answers are the JSON form of its messages
``GetModelStatusResponse`` and ``GetModelMetadataResponse`` (``tensorflow_serving/apis``), in which numbers of 64 bits
are strings and fields with a default value are written out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from components.runtime.protocol import PREDICTION, PROBABILITIES
from components.serving.served_model import ServedModel
from components.types.dataset import ColumnType

SIGNATURE_NAME = "serving_default"
"""The one signature that a model has; it is also meant where a request names none."""

_METHOD = "tensorflow/serving/predict"
_TYPES: Mapping[ColumnType, str] = {
    ColumnType.FLOAT64: "DT_DOUBLE",
    ColumnType.INT64: "DT_INT64",
    ColumnType.BOOL: "DT_BOOL",
    ColumnType.STRING: "DT_STRING",
}
_LABEL_TYPES: Mapping[type, str] = {str: "DT_STRING", bool: "DT_BOOL", int: "DT_INT64"}


def status(models: Collection[ServedModel]) -> dict[str, Any]:
    """Return the status of loaded versions, the newest first."""
    newest_first = sorted(models, key=lambda model: model.ref.version, reverse=True)
    well = {"error_code": "OK", "error_message": ""}
    return {
        "model_version_status": [
            {"version": model.version, "state": "AVAILABLE", "status": well} for model in newest_first
        ]
    }


def metadata(model: ServedModel) -> dict[str, Any]:
    """Return a version's inputs and outputs, by name."""
    classes = model.signature.classes
    kind = _LABEL_TYPES[type(classes[0])] if classes else _TYPES[ColumnType.FLOAT64]
    outputs = {PREDICTION: _tensor(PREDICTION, kind)}
    if classes:
        outputs[PROBABILITIES] = _tensor(PROBABILITIES, "DT_FLOAT", len(classes))
    inputs = {spec.name: _tensor(spec.name, _TYPES[spec.type], *spec.shape) for spec in model.signature.inputs}
    signature = {"inputs": inputs, "outputs": outputs, "method_name": _METHOD}
    return {
        "model_spec": {"name": model.ref.model, "signature_name": "", "version": model.version},
        "metadata": {"signature_def": {"signature_def": {SIGNATURE_NAME: signature}}},
    }


def _tensor(name: str, kind: str, *shape: int) -> dict[str, Any]:
    dimensions = [{"size": str(size), "name": ""} for size in (-1, *shape)]
    return {"dtype": kind, "tensor_shape": {"dim": dimensions, "unknown_rank": False}, "name": name}
