"""How requests and a shadow's answers cross between a worker and its shadow's process. Knows no socket.

By `marshal`, as in the prediction log: both ends are the same interpreter, and nothing else makes so many small values
bytes in so little time. A frame is a length and as many bytes.
"""

from __future__ import annotations

import marshal
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.runtime.batch import DTYPES, CheckedBatch
from components.runtime.protocol import PREDICTION, PROBABILITIES
from components.serving.input_plan import Batch
from components.types.dataset import ColumnType
from components.types.product import InputSpec

_HEAD = struct.Struct("<Q")
_MARSHAL = 2
"""The newest form that does not look for values that are there twice, which costs more than it saves."""
_FLOAT64, _FLOAT32 = DTYPES[ColumnType.FLOAT64], np.dtype(np.float32)


def frame(content: Any) -> bytes:
    """Return a frame."""
    body = marshal.dumps(content, _MARSHAL)
    return _HEAD.pack(len(body)) + body


class Frames:
    """Frames as they arrive, in whatever pieces."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, arrived: bytes) -> None:
        """Take what arrived."""
        self._rest += arrived

    @property
    def has_one(self) -> bool:
        """Whether a frame is whole."""
        rest = self._rest
        return len(rest) >= _HEAD.size and len(rest) >= _HEAD.size + _HEAD.unpack_from(rest)[0]

    def take(self) -> Any:
        """Return the content of the first frame, which is whole."""
        end = _HEAD.size + _HEAD.unpack_from(self._rest)[0]
        content = marshal.loads(self._rest[_HEAD.size : end])  # noqa: S302 - from our own parent or child
        del self._rest[:end]
        return content


def pack_batch(batch: Batch, inputs: Sequence[InputSpec]) -> Any:
    """Return a batch's tensors: one block where every input is a plain number, else one entry for each input."""
    if (block := getattr(batch.tensors, "block", None)) is not None:
        return np.ascontiguousarray(block, _FLOAT64)
    return [_packed(batch.tensors[spec.name], DTYPES[spec.type]) for spec in inputs]


def unpack_batch(packed: Any, rows: int, inputs: Sequence[InputSpec]) -> Batch:
    """Return the batch; whoever packed it vouched for its values."""
    block: np.ndarray | None = None
    if isinstance(packed, bytes):
        block = np.frombuffer(packed, _FLOAT64).reshape(len(inputs), rows)
        arrays = list(block)
    else:
        arrays = [
            _unpacked(each, DTYPES[spec.type]).reshape(rows, *spec.shape)
            for each, spec in zip(packed, inputs, strict=True)
        ]
    batch = CheckedBatch((spec.name, array) for spec, array in zip(inputs, arrays, strict=True))
    batch.rows, batch.block = rows, block
    return Batch(batch, rows)


def pack_outputs(outputs: Mapping[str, np.ndarray]) -> Any:
    """Return what a version answered."""
    prediction = outputs[PREDICTION]
    dtype = DTYPES[ColumnType.STRING] if prediction.dtype.kind in "OU" else prediction.dtype
    probabilities = outputs.get(PROBABILITIES)
    packed = None if probabilities is None else _packed(probabilities, _FLOAT32)
    return _packed(prediction, dtype), dtype.str, packed


def unpack_outputs(packed: Any) -> dict[str, np.ndarray]:
    """Return what the version answered, in this process."""
    values, dtype, probabilities = packed
    prediction = _unpacked(values, np.dtype(dtype))
    if probabilities is None:
        return {PREDICTION: prediction}
    found = np.frombuffer(probabilities, _FLOAT32)
    return {PREDICTION: prediction, PROBABILITIES: found.reshape(len(prediction), -1)}


def _packed(values: np.ndarray, dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "O":
        return values.ravel().tolist()
    return np.ascontiguousarray(values, dtype)


def _unpacked(packed: Any, dtype: np.dtype[Any]) -> np.ndarray:
    return np.array(packed, dtype) if isinstance(packed, list) else np.frombuffer(packed, dtype)
