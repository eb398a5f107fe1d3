"""The binary tensor extension of the Open Inference Protocol: bytes to arrays and back. Knows nothing of requests."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from math import prod

import numpy as np

from components.errors import SchemaError
from components.types.dataset import ColumnType

NUMPY_TYPES: Mapping[str, np.dtype[np.generic]] = {
    "BOOL": np.dtype(np.bool_),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
"""The protocol's numeric types that are taken; BYTES are strings."""

_INTEGERS = frozenset(name for name in NUMPY_TYPES if "INT" in name)

ACCEPTED: Mapping[ColumnType, frozenset[str]] = {
    ColumnType.FLOAT64: frozenset({"FP64", "FP32"}) | _INTEGERS,
    ColumnType.INT64: _INTEGERS,
    ColumnType.BOOL: frozenset({"BOOL"}),
    ColumnType.STRING: frozenset({"BYTES"}),
}
"""Which of the protocol's types an input takes: its own, and those that turn into it without loss."""

DATATYPES: Mapping[ColumnType, str] = {
    ColumnType.FLOAT64: "FP64",
    ColumnType.INT64: "INT64",
    ColumnType.BOOL: "BOOL",
    ColumnType.STRING: "BYTES",
}

_TARGETS = {ColumnType.FLOAT64: np.dtype(np.float64), ColumnType.INT64: np.dtype(np.int64)}
_EXACT = 2**53
_LENGTH = struct.Struct("<I")


def from_bytes(raw: memoryview, datatype: str, target: ColumnType, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Return a binary tensor as an array of its input's type.

    Raises:
        SchemaError: the bytes are more or fewer than the shape needs, or no values of this type.
    """
    if datatype == "BYTES":
        return np.array(_strings(raw, prod(shape), name), dtype=object).reshape(shape)
    dtype = NUMPY_TYPES[datatype]
    if len(raw) != dtype.itemsize * prod(shape):
        raise SchemaError(
            f"input `{name}`: {len(raw)} bytes of binary data, expected {dtype.itemsize * prod(shape)} "
            f"for {datatype} of shape {list(shape)}"
        )
    if datatype == "BOOL" and not set(bytes(raw)) <= {0, 1}:
        raise SchemaError(f"input `{name}`: a BOOL is one byte, 0 or 1")
    return widened(np.frombuffer(raw, dtype), target, name).reshape(shape)


def widened(values: np.ndarray, target: ColumnType, name: str) -> np.ndarray:
    """Return numbers in their input's type, aligned in memory.

    Raises:
        SchemaError: an integer is too large to be a float without loss.
    """
    wanted = _TARGETS.get(target, values.dtype)
    if values.dtype == np.int64 and wanted == np.float64 and ((values > _EXACT) | (values < -_EXACT)).any():
        raise SchemaError(f"input `{name}` takes numbers of 64-bit precision, and an INT64 in it is beyond 2^53")
    return values if values.dtype == wanted and values.flags.aligned else values.astype(wanted)


def to_bytes(values: np.ndarray) -> bytes:
    """Return an output as the binary extension sends it."""
    if values.dtype.kind in "OU":
        texts = [text.encode() for text in values.ravel().tolist()]
        return b"".join(part for text in texts for part in (_LENGTH.pack(len(text)), text))
    return np.ascontiguousarray(values).tobytes()


def _strings(raw: memoryview, count: int, name: str) -> list[str]:
    texts: list[str] = []
    position = 0
    while position < len(raw):
        end = position + _LENGTH.size
        if end > len(raw) or (stop := end + _LENGTH.unpack_from(raw, position)[0]) > len(raw):
            raise SchemaError(f"input `{name}`: its BYTES end in the middle of element {len(texts)}")
        try:
            texts.append(str(raw[end:stop], "utf-8"))
        except UnicodeDecodeError:
            raise SchemaError(f"input `{name}`: element {len(texts)} is not UTF-8") from None
        position = stop
    if len(texts) != count:
        raise SchemaError(f"input `{name}`: {len(texts)} BYTES elements, expected {count}")
    return texts
