"""A product as an MLflow model. This file travels inside every version: it imports nothing of the project.

A product is an ONNX graph or a SavedModel; of onnxruntime and TensorFlow only the one that it needs is imported. It
takes a table of raw columns (an image is a column of nested lists) and gives a table with ``prediction`` and, for
classification, ``probabilities`` in the order of the signature's classes. Missing is None or NaN, where allowed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from numbers import Number
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel

MISSING_STRING = "\ufdd0"
"""Stands for a missing value in a string tensor; the same noncharacter as in training."""


_Tensors = dict[str, np.ndarray]


class Product(PythonModel):
    """Load a product and predict from tables."""

    def load_context(self, context: Any) -> None:
        """Check the product's digest and open its graph."""
        folder = Path(context.artifacts["product"])
        promised = context.model_config["product_digest"]
        if (found := _digest(folder)) != promised:
            raise MlflowException(f"the product has digest {found[:12]} where {promised[:12]} was registered")
        self._signature = json.loads((folder / "signature.json").read_text(encoding="utf-8"))
        is_saved_model = (folder / "savedmodel").is_dir()
        self._run = _open_saved_model(folder / "savedmodel") if is_saved_model else _open_onnx(folder / "model.onnx")

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:  # noqa: ARG002
        """Return one row per row of the table."""
        table = model_input
        outputs = self._run({spec["name"]: _tensor(spec, table) for spec in self._signature["inputs"]})
        result = {"prediction": outputs["prediction"]}
        if "probabilities" in outputs:
            result["probabilities"] = outputs["probabilities"].tolist()
        return pd.DataFrame(result, index=table.index)


def _open_onnx(graph: Path) -> Callable[[_Tensors], _Tensors]:
    import onnxruntime

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda tensors: dict(zip(names, session.run(names, tensors), strict=True))


def _open_saved_model(folder: Path) -> Callable[[_Tensors], _Tensors]:
    import tensorflow

    model = tensorflow.saved_model.load(str(folder))
    serve = model.signatures["serving_default"]

    def run(tensors: _Tensors, _model: Any = model) -> _Tensors:  # the model's weights live no longer than the model
        outputs = serve(**{_input_key(name): tensorflow.constant(tensor) for name, tensor in tensors.items()})
        return {name: _texts(output.numpy()) for name, output in outputs.items()}

    return run


def _input_key(name: str) -> str:
    """Return how a column is called inside a SavedModel."""
    key = re.sub(r"[^A-Za-z0-9_.]", "_", name)
    return key if re.match(r"[A-Za-z]", key) else f"c_{key}"


def _texts(tensor: np.ndarray) -> np.ndarray:
    """Return TensorFlow's strings, which are bytes, as text."""
    return np.array([value.decode() for value in tensor], dtype=object) if tensor.dtype == object else tensor


def _tensor(spec: dict[str, Any], table: pd.DataFrame) -> np.ndarray:
    name = spec["name"]
    if name not in table:
        raise _refused(f"column {name} is missing")
    values = table[name]
    missing = values.isna().to_numpy() if not spec["shape"] else np.zeros(len(values), dtype=bool)
    if missing.any() and not spec["nullable"]:
        raise _refused(f"column {name} has a missing value in row {int(missing.argmax())}; it had none in training")
    if spec["shape"]:
        return _images(spec, values)
    if spec["type"] == "string":
        return _strings(name, values, missing)
    return _numbers(name, values, missing, spec["type"])


def _strings(name: str, values: pd.Series, missing: np.ndarray) -> np.ndarray:
    tensor = values.to_numpy(dtype=object, copy=True)
    tensor[missing] = MISSING_STRING
    if wrong := [value for value in _to_look_at(values[~missing]) if not isinstance(value, str)]:
        raise _refused(f"column {name} takes strings, found {wrong[0]!r}")
    return tensor


def _numbers(name: str, values: pd.Series, missing: np.ndarray, kind: str) -> np.ndarray:
    present = values[~missing]
    if kind == "bool":
        if wrong := [value for value in _to_look_at(present) if not isinstance(value, bool)]:
            raise _refused(f"column {name} takes true and false, found {wrong[0]!r}")
        return values.to_numpy(dtype=bool)
    if wrong := [value for value in _to_look_at(present) if isinstance(value, bool) or not isinstance(value, Number)]:
        raise _refused(f"column {name} takes numbers, found {wrong[0]!r}")
    numbers = np.full(len(values), np.nan)
    numbers[~missing] = present.to_numpy(dtype=np.float64)
    if np.isinf(numbers).any():
        raise _refused(f"column {name} has an infinite value")
    if kind == "float64":
        return numbers
    if (fractions := numbers[numbers != np.floor(numbers)]).size:
        raise _refused(f"column {name} takes whole numbers, found {float(fractions[0])!r}")
    return values.to_numpy(dtype=np.int64)


def _to_look_at(values: pd.Series) -> list[Any]:
    """Return the values whose types must be looked at, as Python's own: all, or one where all are of one type."""
    listed: list[Any] = (values if values.dtype == object else values.iloc[:1]).tolist()
    return [value.item() if isinstance(value, np.generic) else value for value in listed]


def _images(spec: dict[str, Any], values: pd.Series) -> np.ndarray:
    shape = tuple(spec["shape"])
    try:
        images = [np.asarray(value, dtype=spec["type"]) for value in values]
    except (TypeError, ValueError) as error:
        raise _refused(f"column {spec['name']} takes nested lists of numbers of shape {shape}: {error}") from error
    for image in images:
        if image.shape != shape:
            raise _refused(f"column {spec['name']} takes images of shape {shape}, found {image.shape}")
        if not np.isfinite(image).all():
            raise _refused(f"column {spec['name']} has an image with a missing or infinite value")
    return np.stack(images) if images else np.empty((0, *shape), dtype=spec["type"])


def _refused(sentence: str) -> MlflowException:
    return MlflowException.invalid_parameter_value(sentence)


def _digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    entries = {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    text = json.dumps(entries, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


mlflow.models.set_model(Product())
