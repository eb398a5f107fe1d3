"""How logged entries cross to the process that writes them. Knows nothing of pipes, nor of what is written.

A frame is two lengths, a body and a tail. The body is made by `marshal`: both ends are the same interpreter, and
nothing else turns so many small values into bytes while holding the interpreter for so short (about 1 µs a row). Small
arrays are in the body; large ones are sent from where they lie, as the tail. What holds for all rows of a version
crosses once.
"""

from __future__ import annotations

import marshal
import struct
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from components.runtime.batch import DTYPES
from components.runtime.protocol import PREDICTION, PROBABILITIES
from components.serving.prediction_log.schema import label_type
from components.types import record
from components.types.dataset import ColumnType
from components.types.product import Signature
from components.types.release import ModelRef

if TYPE_CHECKING:
    from components.serving.prediction_log.log import Entry
    from components.serving.served_model import ServedModel

_HEAD = struct.Struct("<QQ")
"""How many bytes the body has, and the tail."""
_MARSHAL = 2
"""The newest form that does not look for values that are there twice, which costs more than it saves."""
_LARGE_BYTES = 4_096
_FLOAT64, _FLOAT32, _TEXT = DTYPES[ColumnType.FLOAT64], np.dtype(np.float32), DTYPES[ColumnType.STRING]


class LoggedVersion(NamedTuple):
    """What holds for all rows of a version."""

    ref: ModelRef
    signature: Signature


class LoggedEntry(NamedTuple):
    """One answered request as it arrives: only the rows that are logged, every `step`-th of `rows`."""

    version: LoggedVersion
    role: str
    """Empty where the request named the version."""
    rev: int
    request_id: str
    user: int
    rows: int
    step: int
    time_s: float
    seconds: float
    status: int
    block: np.ndarray | None
    """All inputs, float64 of shape (n_inputs, n_logged_rows), where every one is a plain number."""
    tensors: Sequence[Any]
    """Otherwise: each input's values in a row, an array, or a list where they are texts."""
    prediction: Any
    """An array, a list where they are texts, or None when the version failed."""
    probabilities: np.ndarray | None
    """Float32 of shape (n_logged_rows, n_classes)."""

    @property
    def logged_rows(self) -> int:
        """Return how many rows of it are logged."""
        return -(-self.rows // self.step)


class _Layout(NamedTuple):
    number: int
    """What a row says instead of its version."""
    inputs: tuple[tuple[str, np.dtype[Any]], ...]
    prediction: np.dtype[Any]


class Encoder:
    """Make frames for one process, which was told nothing yet."""

    def __init__(self) -> None:
        self._known: dict[ModelRef, _Layout] = {}

    def encode(self, entries: Sequence[Entry]) -> list[memoryview]:
        """Return a frame with these entries, in parts; the arrays must stay as they are until they are sent.

        Raises:
            Exception: one of them has a value that is not what its signature says; as if none had been encoded.
        """
        new: dict[ModelRef, _Layout] = {}
        facts: list[Any] = []
        tail: list[memoryview] = []
        rows: list[Any] = []
        layouts: dict[int, _Layout] = {}  # by id, which costs less; the entries hold their models
        for entry in entries:
            layout = layouts.get(id(entry.model))
            if layout is None:
                layout = layouts[id(entry.model)] = self._layout(entry.model, new, facts)
            rows.append(_packed_entry(entry, layout, tail))
        body = marshal.dumps((facts, rows), _MARSHAL)
        self._known |= new
        head = _HEAD.pack(len(body), sum(each.nbytes for each in tail))
        return [memoryview(head + body), *tail]

    def _layout(self, model: ServedModel, new: dict[ModelRef, _Layout], facts: list[Any]) -> _Layout:
        ref = model.ref
        if (layout := self._known.get(ref) or new.get(ref)) is None:
            signature = model.signature
            inputs = tuple((spec.name, DTYPES[spec.type]) for spec in signature.inputs)
            layout = new[ref] = _Layout(len(self._known) + len(new), inputs, DTYPES[label_type(signature)])
            facts.append((record.dump(ref), record.dump(signature)))
        return layout


class Decoder:
    """Take frames apart, however their bytes arrive."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._versions: list[LoggedVersion] = []

    def decode(self, arrived: bytes) -> list[LoggedEntry]:
        """Return the entries of all frames that are whole now."""
        self._rest += arrived
        found: list[LoggedEntry] = []
        start = 0
        while len(self._rest) >= start + _HEAD.size:
            body_bytes, tail_bytes = _HEAD.unpack_from(self._rest, start)
            tail_at = start + _HEAD.size + body_bytes
            if len(self._rest) < tail_at + tail_bytes:
                break
            facts, rows = marshal.loads(self._rest[start + _HEAD.size : tail_at])  # noqa: S302 - from our own parent
            self._versions += (_version(*each) for each in facts)
            tail = BytesIO(self._rest[tail_at : tail_at + tail_bytes])
            found += (_unpacked_entry(self._versions, tail, row) for row in rows)
            start = tail_at + tail_bytes
        del self._rest[:start]
        return found


def _packed_entry(entry: Entry, layout: _Layout, tail: list[memoryview]) -> tuple[Any, ...]:
    _, role, rev, request_id, user, tensors, block, outputs, rows, step, _, time_s, seconds, status = entry
    if block is not None:
        inputs = _packed(block if step == 1 else block[:, ::step], _FLOAT64, tail)
    else:
        inputs = [_packed(_kept(tensors[name], step), dtype, tail) for name, dtype in layout.inputs]
    prediction = probabilities = None
    if outputs is not None:
        prediction = _packed(_kept(outputs[PREDICTION], step), layout.prediction, tail)
        if (found := outputs.get(PROBABILITIES)) is not None:
            probabilities = _packed(_kept(found, step), _FLOAT32, tail)
    return (
        layout.number, "" if role is None else str(role), rev, request_id, user, rows, step, time_s, seconds, status,
        inputs, prediction, probabilities,
    )  # fmt: skip


def _kept(values: np.ndarray, step: int) -> np.ndarray:
    return values if step == 1 else values[::step]


def _packed(values: np.ndarray, dtype: np.dtype[Any], tail: list[memoryview]) -> Any:
    """Return texts as a list, a small array as itself, which is marshalled as its bytes, a large one as its length."""
    if dtype is _TEXT:
        return values.ravel().tolist()
    array = np.ascontiguousarray(values, dtype)
    if array.nbytes < _LARGE_BYTES:
        return array
    tail.append(array.data.cast("B"))
    return array.nbytes


def _version(ref: Any, signature: Any) -> LoggedVersion:
    return LoggedVersion(record.load(ModelRef, ref), record.load(Signature, signature))


def _unpacked_entry(versions: list[LoggedVersion], tail: BytesIO, row: tuple[Any, ...]) -> LoggedEntry:
    number, *about, inputs, prediction, probabilities = row
    version = versions[number]
    signature = version.signature
    block: np.ndarray | None = None
    tensors: list[Any] = []
    if isinstance(inputs, list):
        tensors = [_unpacked(each, DTYPES[i.type], tail) for each, i in zip(inputs, signature.inputs, strict=True)]
    else:
        block = _unpacked(inputs, _FLOAT64, tail).reshape(len(signature.inputs), -1)
    if prediction is not None:
        prediction = _unpacked(prediction, DTYPES[label_type(signature)], tail)
    if probabilities is not None:
        probabilities = _unpacked(probabilities, _FLOAT32, tail).reshape(-1, len(signature.classes))
    return LoggedEntry._make((version, *about, block, tensors, prediction, probabilities))


def _unpacked(packed: Any, dtype: np.dtype[Any], tail: BytesIO) -> Any:
    if dtype is _TEXT:
        return packed
    return np.frombuffer(packed if isinstance(packed, bytes) else tail.read(packed), dtype)
