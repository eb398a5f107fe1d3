"""Frames: what goes over the wire between a gateway's process and TensorFlow's. Knows no socket and no model.

A frame is two numbers (bytes of the header, bytes of the payload), a header in JSON, and the payload: the tensors' raw
bytes one after the other, little-endian, in C order. A string tensor is the lengths of its strings (uint32 each) and
then their UTF-8 bytes. Nothing in a frame can be code; a frame that is not as described is refused.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

PREFIX = struct.Struct("<IQ")
MAX_HEADER_BYTES = 1 << 20
MAX_PAYLOAD_BYTES = 1 << 31
STRING = "string"
TENSORS = "tensors"

_DTYPES: Mapping[str, np.dtype[Any]] = {
    name: np.dtype(name).newbyteorder("<") for name in ("float64", "float32", "int64", "bool")
}
_LENGTH = np.dtype("<u4")

Header = dict[str, Any]


class FrameError(ValueError):
    """Say what is wrong with a frame."""


def pack(header: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]] | None = None) -> bytes:
    """Return a frame.

    Args:
        header: Whatever JSON can say.
        tensors: By name; of the types float64, float32, int64, bool, or text as ``str`` or UTF-8 ``bytes``.

    Raises:
        FrameError: a tensor is of another type, or all of it is too large.
        UnicodeEncodeError: a text has half of a surrogate pair.
    """
    described, payloads, size = [], [], 0
    for name, array in (tensors or {}).items():
        kind, payload = _payload(name, array)
        described.append([name, kind, array.shape, len(payload)])
        payloads.append(payload)
        size += len(payload)
    text = json.dumps({**header, TENSORS: described}, separators=(",", ":")).encode()
    check_sizes(len(text), size)
    return b"".join([PREFIX.pack(len(text), size), text, *payloads])


def sizes(prefix: bytes | bytearray) -> tuple[int, int]:
    """Return how many bytes of header and of payload follow a frame's first bytes.

    Raises:
        FrameError: they are more than a frame may have.
    """
    header_bytes, payload_bytes = PREFIX.unpack(prefix)
    check_sizes(header_bytes, payload_bytes)
    return header_bytes, payload_bytes


def check_sizes(header_bytes: int, payload_bytes: int) -> None:
    """Check that a frame is not too large.

    Raises:
        FrameError: it is.
    """
    if header_bytes > MAX_HEADER_BYTES or payload_bytes > MAX_PAYLOAD_BYTES:
        raise FrameError(
            f"a frame of {header_bytes} and {payload_bytes} bytes is too large; at most {MAX_HEADER_BYTES} and "
            f"{MAX_PAYLOAD_BYTES} are taken, so give fewer rows at once"
        )


def unpack(content: memoryview, header_bytes: int) -> tuple[Header, dict[str, NDArray[Any]]]:
    """Return a frame's header and its tensors; text as an object array of ``bytes``.

    Args:
        content: Header and payload; numbers are views of it.
        header_bytes: How much of it is the header.

    Raises:
        FrameError: it is no frame.
    """
    try:
        header = json.loads(bytes(content[:header_bytes]))
        described = [(name, str(kind), tuple(shape), size) for name, kind, shape, size in header.pop(TENSORS)]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise FrameError(f"a frame's header cannot be read: {type(error).__name__}") from error
    tensors, at = {}, header_bytes
    for name, kind, shape, size in described:
        if not all(type(each) is int and each >= 0 for each in (*shape, size)) or size > len(content) - at:
            raise FrameError(f"tensor {name!r} has a wrong shape or size")
        tensors[str(name)] = _tensor(str(name), kind, shape, content[at : at + size])
        at += size
    if at != len(content):
        raise FrameError(f"{len(content) - at} bytes of a frame belong to no tensor")
    return header, tensors


def texts(array: NDArray[Any]) -> NDArray[Any]:
    """Return a tensor of UTF-8 ``bytes`` as one of ``str``.

    Raises:
        UnicodeDecodeError: one is no UTF-8.
    """
    found = np.empty(array.shape, dtype=object)
    found.ravel()[:] = [value.decode() for value in array.ravel().tolist()]
    return found


def _payload(name: str, array: NDArray[Any]) -> tuple[str, bytes]:
    if array.dtype.kind in "OU":
        encoded = [value if type(value) is bytes else value.encode() for value in array.ravel().tolist()]
        return STRING, np.fromiter(map(len, encoded), _LENGTH, len(encoded)).tobytes() + b"".join(encoded)
    kind = array.dtype.name
    if kind not in _DTYPES:
        raise FrameError(f"tensor {name!r} is {kind}, which no frame takes")
    return kind, array.astype(_DTYPES[kind], copy=False).tobytes()


def _tensor(name: str, kind: str, shape: tuple[int, ...], payload: memoryview) -> NDArray[Any]:
    count = prod(shape)
    if kind == STRING:
        return _strings(name, count, payload).reshape(shape)
    if kind not in _DTYPES or len(payload) != count * _DTYPES[kind].itemsize:
        raise FrameError(f"tensor {name!r} is of {kind!r} and {len(payload)} bytes, which does not fit its shape")
    return np.frombuffer(payload, _DTYPES[kind]).reshape(shape)


def _strings(name: str, count: int, payload: memoryview) -> NDArray[Any]:
    start = count * _LENGTH.itemsize
    if start > len(payload):
        raise FrameError(f"tensor {name!r} has fewer lengths than strings")
    ends = np.cumsum(np.frombuffer(payload[:start], _LENGTH), dtype=np.int64) + start
    if (int(ends[-1]) if count else start) != len(payload):
        raise FrameError(f"tensor {name!r} has other bytes than its lengths say")
    content, begin = bytes(payload), start
    found = np.empty(count, dtype=object)
    for place, end in enumerate(ends.tolist()):
        found[place] = content[begin:end]
        begin = end
    return found
