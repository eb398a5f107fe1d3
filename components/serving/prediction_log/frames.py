"""How logged entries cross to the process that writes them. Knows nothing of pipes, nor of what is written.

An entry is packed where it was answered, while all of it is still in the processor's cache, by `marshal`: both ends are
the same interpreter, and nothing else makes so many small values bytes in so little time. Small arrays are packed, too;
large ones are sent from where they lie. A frame is two lengths, packed entries, and large arrays behind them; what
holds for all rows of a version crosses once.
"""

from __future__ import annotations

import marshal
import struct
import time
from collections.abc import Mapping, Sequence
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
    from components.serving.input_plan import Batch, InputPlan
    from components.serving.served_model import ServedModel

_HEAD = struct.Struct("<QQ")
"""How many bytes the body has, and the tail."""
_MARSHAL = 2
"""The newest form that does not look for values that are there twice, which costs more than it saves."""
_LARGE_BYTES = 4_096
_PACKED_BYTES = 250
"""What a packed entry takes beside what is in it."""
_MOST_LAYOUTS = 256
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


class Packed(NamedTuple):
    """One entry on its way."""

    body: bytes
    tail: tuple[memoryview, ...]
    """Its large arrays."""
    rows: int
    """How many are logged."""
    size_bytes: int


class _Layout(NamedTuple):
    plan: InputPlan
    """Kept, so that its id stays its own."""
    number: int
    """What an entry says instead of its version."""
    inputs: tuple[tuple[str, np.dtype[Any]], ...]
    prediction: np.dtype[Any]


class Packer:
    """Pack entries; `facts` are what whoever unpacks them must know of their versions, by number."""

    def __init__(self) -> None:
        self.facts: list[Any] = []
        """Grows, and is read in another thread: a version is here before any entry of it is packed."""
        self._numbers: dict[ModelRef, int] = {}
        self._layouts: dict[int, _Layout] = {}

    def pack(
        self,
        model: ServedModel,
        role: str,
        rev: int,
        request_id: str,
        user: int,
        batch: Batch,
        outputs: Mapping[str, np.ndarray] | None,
        seconds: float,
        status: int,
        step: int = 1,
    ) -> Packed:
        """Return every `step`-th row of an answered request; large arrays must stay as they are until it is sent.

        Raises:
            Exception: a value is not what the signature says.
        """
        layout = self._layouts.get(id(model.plan)) or self._layout(model)
        tail: list[memoryview] = []
        if (block := getattr(batch.tensors, "block", None)) is not None:
            inputs = _packed(block if step == 1 else block[:, ::step], _FLOAT64, tail)
        else:
            inputs = [_packed(_kept(batch.tensors[name], step), dtype, tail) for name, dtype in layout.inputs]
        prediction = probabilities = None
        if outputs is not None:
            prediction = _packed(_kept(outputs[PREDICTION], step), layout.prediction, tail)
            if (found := outputs.get(PROBABILITIES)) is not None:
                probabilities = _packed(_kept(found, step), _FLOAT32, tail)
        row = (
            layout.number, role, rev, request_id, user, batch.rows, step, time.time(), seconds, status, inputs,
            prediction, probabilities,
        )  # fmt: skip
        body = marshal.dumps(row, _MARSHAL)
        size_bytes = _PACKED_BYTES + len(body) + sum([each.nbytes for each in tail])
        return Packed(body, tuple(tail), -(-batch.rows // step), size_bytes)

    def _layout(self, model: ServedModel) -> _Layout:
        signature = model.signature
        if (number := self._numbers.get(model.ref)) is None:
            number = len(self.facts)
            self.facts.append((record.dump(model.ref), record.dump(signature)))
            self._numbers[model.ref] = number
        if len(self._layouts) >= _MOST_LAYOUTS:  # versions come and go
            self._layouts.clear()
        inputs = tuple((spec.name, DTYPES[spec.type]) for spec in signature.inputs)
        layout = _Layout(model.plan, number, inputs, DTYPES[label_type(signature)])
        self._layouts[id(model.plan)] = layout
        return layout


def frame(facts: Sequence[Any], entries: Sequence[Packed]) -> list[memoryview]:
    """Return a frame, in parts, for one who knows all versions but `facts`."""
    tail = [part for each in entries for part in each.tail]
    body = marshal.dumps((list(facts), [each.body for each in entries]), _MARSHAL)
    return [memoryview(_HEAD.pack(len(body), sum(each.nbytes for each in tail)) + body), *tail]


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
            facts, bodies = marshal.loads(self._rest[start + _HEAD.size : tail_at])  # noqa: S302 - from our own parent
            self._versions += (_version(*each) for each in facts)
            tail = BytesIO(self._rest[tail_at : tail_at + tail_bytes])
            found += (_unpacked_entry(self._versions, tail, body) for body in bodies)
            start = tail_at + tail_bytes
        del self._rest[:start]
        return found


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


def _unpacked_entry(versions: list[LoggedVersion], tail: BytesIO, body: bytes) -> LoggedEntry:
    number, *about, inputs, prediction, probabilities = marshal.loads(body)  # noqa: S302 - from our own parent
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
