"""Make a model really worse: the same graph with its weights in another order. Knows no metric and no TensorFlow."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from components.errors import BadInputError, FaultError
from components.evaluation.proof.shuffle_savedmodel import NO_WEIGHTS
from components.stage.environment import bare_environment
from components.stage.files import tree_digest, whole_directory
from components.types.product import GRAPH_FILE, SAVED_MODEL_DIR, SIGNATURE_FILE, ProductRef

_REAL = {onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE}


def shuffle_weights(product: ProductRef, target: Path, seed: int) -> ProductRef:
    """Write a copy of `product` whose weights are shuffled and turned around, each tensor by itself.

    Raises:
        BadInputError: the product is neither an ONNX graph nor a SavedModel.
        FaultError: it holds no weights to shuffle, or TensorFlow cannot read it.
    """
    if product.runtime not in ("onnx", "savedmodel"):
        raise BadInputError(
            f"{product.directory} is a product for {product.runtime}, and only the weights of an ONNX graph or a "
            "SavedModel can be shuffled; prove the gates on a model whose chosen training gives one"
        )
    with whole_directory(target) as folder:
        if product.runtime == "onnx":
            _shuffle_graph(product.directory / GRAPH_FILE, folder / GRAPH_FILE, seed)
        else:
            _shuffle_savedmodel(product.directory / SAVED_MODEL_DIR, folder / SAVED_MODEL_DIR, seed)
        (folder / SIGNATURE_FILE).write_bytes((product.directory / SIGNATURE_FILE).read_bytes())
    return ProductRef(target, tree_digest(target), product.runtime)


def _shuffle_savedmodel(source: Path, target: Path, seed: int) -> None:
    program = "components.evaluation.proof.shuffle_savedmodel"
    done = subprocess.run(
        [sys.executable, "-m", program, str(source), str(target), str(seed)],
        env={**bare_environment(), "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == NO_WEIGHTS:
        raise FaultError(f"{source} holds no weights that could be shuffled")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it died without a word"])[-1]
        raise FaultError(f"the weights of {source} cannot be shuffled: {last}")


def _shuffle_graph(source: Path, target: Path, seed: int) -> None:
    model = onnx.load(str(source))
    generator = np.random.default_rng(seed)
    changed = sum(_shuffle_tensor(tensor, generator) for tensor in _tensors(model.graph))
    changed += sum(_shuffle_attribute(attribute, generator) for attribute in _attributes(model.graph))
    if not changed:
        raise FaultError(f"{source} holds no weights that could be shuffled")
    target.write_bytes(model.SerializeToString(deterministic=True))


def _attributes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        for attribute in node.attribute:
            yield attribute
            for inner in (attribute.g, *attribute.graphs):
                yield from _attributes(inner)


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for attribute in _attributes(graph):
        if attribute.HasField("t"):
            yield attribute.t
        for inner in (attribute.g, *attribute.graphs):
            yield from inner.initializer


def _shuffle_tensor(tensor: Any, generator: np.random.Generator) -> int:
    if tensor.data_type not in _REAL:
        return 0
    values = numpy_helper.to_array(tensor)
    if values.size < 2:
        return 0
    shuffled = -generator.permutation(values.ravel()).reshape(values.shape)
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(shuffled), tensor.name))
    return 1


def _shuffle_attribute(attribute: Any, generator: np.random.Generator) -> int:
    """Shuffle a list of numbers: the coefficients of a linear model, the leaves of a tree."""
    if len(attribute.floats) < 2:
        return 0
    shuffled = -generator.permutation(np.array(attribute.floats))
    del attribute.floats[:]
    attribute.floats.extend(shuffled.tolist())
    return 1
