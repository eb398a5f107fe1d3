"""Arrow arrays to NumPy arrays and back, by their buffers. Knows no input and no column.

pyarrow's own ``to_numpy`` and ``pa.array`` import pandas wherever it is installed: half a second and a hundred
megabytes for nothing. The layout of the buffers is fixed by the Arrow columnar format.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def numbers(array: Any) -> NDArray[Any]:
    """Return an int64 or float64 array's values; a null is whatever the buffer holds there (see `nulls`)."""
    dtype = np.float64 if pa.types.is_float64(array.type) else np.int64
    if not len(array):
        return np.empty(0, dtype)
    return np.frombuffer(array.buffers()[1], dtype, count=array.offset + len(array))[array.offset :]


def booleans(array: Any) -> NDArray[np.bool_]:
    """Return a bool array's values; a null is whatever the buffer holds there (see `nulls`)."""
    return _bits(array.buffers()[1], array)


def nulls(array: Any) -> NDArray[np.bool_]:
    """Return where an array is null."""
    validity = array.buffers()[0]
    if not array.null_count or validity is None:  # an array of type null has no buffer: all of it is null
        return np.full(len(array), bool(array.null_count))
    return ~_bits(validity, array)


def floats(array: Any) -> NDArray[np.float64]:
    """Return the values of an array of numbers or booleans, with NaN for null.

    Raises:
        pyarrow.ArrowInvalid: a number has no exact float64.
    """
    if pa.types.is_boolean(array.type):
        values = booleans(array).astype(np.float64)
    else:
        values = numbers(array.cast(pa.float64()))
    return np.where(nulls(array), np.nan, values) if array.null_count else values


def texts(array: Any, missing: str) -> NDArray[np.object_]:
    """Return a string array's values as Python strings, equal ones as one object, with `missing` for null."""
    encoded = array.dictionary_encode()
    words = np.array([*encoded.dictionary.to_pylist(), missing], dtype=object)
    indices = numbers(encoded.indices.cast(pa.int64()))
    return words[np.where(nulls(array), len(words) - 1, indices)] if array.null_count else words[indices]


def as_mask(flags: NDArray[np.bool_]) -> Any:
    """Return a `pyarrow.BooleanArray` of flags."""
    packed = pa.py_buffer(np.packbits(flags, bitorder="little"))
    return pa.BooleanArray.from_buffers(pa.bool_(), len(flags), [None, packed])


def _bits(buffer: Any, array: Any) -> NDArray[np.bool_]:
    packed = np.frombuffer(buffer, np.uint8)
    return np.unpackbits(packed, count=array.offset + len(array), bitorder="little")[array.offset :].astype(np.bool_)
