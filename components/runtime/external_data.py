"""Find tensors whose bytes lie outside an ONNX file, by walking its protobuf wire format.

A product is two files and nothing else; a tensor that names a third one could make a server read whatever lies there.
The `onnx` package would say the same and double the server's start-up time. The field numbers are those of
``onnx.proto3`` (messages of the ONNX intermediate representation, version 14); all others are skipped by length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

_CHILDREN: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def has_external_data(model: bytes) -> bool:
    """Return whether any tensor of the ONNX file `model` names bytes outside of it.

    Raises:
        ValueError: the bytes are no protobuf message.
    """
    pending: list[tuple[str, memoryview]] = [("model", memoryview(model))]
    while pending:
        kind, message = pending.pop()
        for field, value in _fields(message):
            if kind == "tensor" and (field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value != 0)):
                return True
            if (child := _CHILDREN[kind].get(field)) and isinstance(value, memoryview):
                pending.append((child, value))
    return False


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        wire = key & 7
        if wire == _VARINT:
            number, at = _varint(message, at)
            yield key >> 3, number
            continue
        length = {_FIXED64: 8, _FIXED32: 4}.get(wire, -1)
        if wire == _BYTES:
            length, at = _varint(message, at)
        if length < 0 or at + length > len(message):
            raise ValueError("not a protobuf message, or one that was cut short")
        yield key >> 3, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
        shift += 7
    raise ValueError("not a protobuf message, or one that was cut short")
