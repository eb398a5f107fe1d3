"""Serve a product's ONNX graph in process. Knows no transport and imports only numpy and onnxruntime."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from components.errors import DigestMismatchError, FaultError, SchemaError
from components.runtime.batch import BatchCheck, CheckedBatch, check_output, neutral_rows
from components.runtime.external_data import has_external_data
from components.runtime.protocol import PREDICTION, PROBABILITIES, Stop, Tensor
from components.runtime.signature import parse_signature
from components.stage.files import record_digest
from components.types.dataset import ColumnType
from components.types.product import GRAPH_FILE, SIGNATURE_FILE, ProductRef, Signature

_FATAL_ONLY = 4
_TENSOR_TYPES: Mapping[ColumnType, str] = {
    ColumnType.FLOAT64: "tensor(double)",
    ColumnType.INT64: "tensor(int64)",
    ColumnType.BOOL: "tensor(bool)",
    ColumnType.STRING: "tensor(string)",
}
_CLASS_TENSORS: Mapping[type, str] = {str: "tensor(string)", int: "tensor(int64)", bool: "tensor(bool)"}


class OnnxRuntime:
    """Predict with onnxruntime on the CPU."""

    def __init__(self, threads: int = 1) -> None:
        """Take how many threads one prediction may use."""
        self._threads = threads
        self._unstopped = self.make_stop()  # one that exists costs a prediction less than none
        self._loaded: tuple[Any, Signature, BatchCheck] | None = None

    def load(self, product: ProductRef) -> Signature:
        """Check the product's bytes, load them, predict one row to warm up, and return the signature.

        A product that does not load leaves the one before in place.

        Raises:
            DigestMismatchError: the bytes are not those that were promised.
            FaultError: the product cannot be loaded, or is not what its signature says.
        """
        # the checked bytes are the loaded bytes: nobody can swap the files in between
        files = _read_product(product)
        signature = parse_signature(files[SIGNATURE_FILE], product.directory / SIGNATURE_FILE)
        session = _open(files[GRAPH_FILE], product.directory / GRAPH_FILE, self._threads)
        _check_interface(session, signature, product.directory)
        try:
            check_output(
                _run(session, signature, neutral_rows(signature.inputs, 1), self._unstopped), signature, n_rows=1
            )
        except SchemaError as error:
            raise FaultError(f"{product.directory} does not predict an empty row: {error}") from error
        self._loaded = session, signature, BatchCheck(signature.inputs)
        return signature

    def predict(self, batch: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Return ``prediction``, and for classification ``probabilities``, of each row of `batch`.

        Raises:
            SchemaError: the batch is not what the signature asks for.
            FaultError: nothing is loaded, or the graph failed.
        """
        return self.predict_until_stopped(batch, self._unstopped)

    def make_stop(self) -> Stop:
        """Return the means to stop one prediction: onnxruntime looks at it between two nodes of the graph."""
        stop: Stop = onnxruntime.RunOptions()
        return stop

    def halt(self) -> None:
        """End every prediction that has no stop of its own, now and from now on, loading included."""
        self._unstopped.terminate = True

    def predict_until_stopped(self, batch: Mapping[str, np.ndarray], stop: Stop) -> Mapping[str, np.ndarray]:
        """Return what `predict` does, until `stop` says to end.

        Raises:
            SchemaError: the batch is not what the signature asks for.
            FaultError: nothing is loaded, the graph failed, or it was stopped.
        """
        if self._loaded is None:
            raise FaultError("no product is loaded; call `load` first")
        session, signature, check = self._loaded
        n_rows = batch.rows if type(batch) is CheckedBatch else check(batch)
        outputs = _run(session, signature, batch, stop)
        check_output(outputs, signature, n_rows)
        return outputs


def _read_product(product: ProductRef) -> dict[str, bytes]:
    folder = product.directory
    if folder.is_symlink() or not folder.is_dir():
        raise DigestMismatchError(f"{folder} is not a folder; expected the product {product.digest[:12]}")
    entries = sorted(folder.iterdir())
    for path in entries:
        if path.is_symlink() or not path.is_file() or path.name not in (GRAPH_FILE, SIGNATURE_FILE):
            raise DigestMismatchError(f"{path} does not belong to a product; it is {GRAPH_FILE} and {SIGNATURE_FILE}")
    if len(entries) != 2:
        raise DigestMismatchError(f"{folder} is incomplete; a product is {GRAPH_FILE} and {SIGNATURE_FILE}")
    files = {path.name: path.read_bytes() for path in entries}
    found = record_digest({name: hashlib.sha256(content).hexdigest() for name, content in files.items()})
    if found != product.digest:
        raise DigestMismatchError(
            f"{folder} has digest {found[:12]} where {product.digest[:12]} was promised; fetch or rebuild the product"
        )
    return files


def _open(graph: bytes, where: Path, threads: int) -> Any:
    try:
        external = has_external_data(graph)
    except ValueError as error:
        raise FaultError(f"{where} is no ONNX file: {error}; train again") from error
    if external:
        raise FaultError(f"{where} keeps tensors in other files; a product's graph must hold all of its weights")
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY  # errors reach the caller as exceptions, not as lines on stderr
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base class
        raise FaultError(f"{where} cannot be loaded by onnxruntime: {_words(error)}") from error


def _run(
    session: Any, signature: Signature, batch: Mapping[str, Tensor], stop: Stop | None = None
) -> dict[str, Tensor]:
    names = [PREDICTION, PROBABILITIES] if signature.task.is_classification else [PREDICTION]
    try:
        # what `session.run` calls once it has compared all input names with each other, which costs 30 inputs a quarter
        # of their prediction; here the batch was checked before
        outputs = session._sess.run(names, batch, stop)
    except Exception as error:
        # a node that fails while running got a batch that is as the signature says: the graph is wrong, not the batch
        is_input = type(error).__name__ == "InvalidArgument" and "while running" not in str(error)
        kind = SchemaError if is_input else FaultError
        raise kind(f"onnxruntime cannot predict this batch: {_words(error)}") from error
    return dict(zip(names, outputs, strict=True))


def _check_interface(session: Any, signature: Signature, where: Path) -> None:
    inputs = {spec.name: (_TENSOR_TYPES[spec.type], list(spec.shape)) for spec in signature.inputs}
    outputs: dict[str, tuple[str, list[int]]] = {PREDICTION: ("tensor(double)", [])}
    if signature.task.is_classification:
        outputs = {
            PREDICTION: (_CLASS_TENSORS[type(signature.classes[0])], []),
            PROBABILITIES: ("tensor(float)", [len(signature.classes)]),
        }
    for word, expected, nodes in (
        ("inputs", inputs, session.get_inputs()),
        ("outputs", outputs, session.get_outputs()),
    ):
        found = {node.name: (node.type, list(node.shape[1:])) for node in nodes}
        fixed = [node.name for node in nodes if node.shape and isinstance(node.shape[0], int)]
        wrong = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name)) or fixed
        if wrong:
            name = wrong[0]
            raise FaultError(
                f"{where}: the graph's {word} are not those of its signature: `{name}` is {found.get(name, 'missing')} "
                f"in the graph and {expected.get(name, 'missing')} in the signature (a row each); train again"
            )


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
