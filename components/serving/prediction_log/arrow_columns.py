"""Arrow arrays straight from memory. Knows nothing of what they mean.

Not by `pyarrow.array`: wherever pandas is installed, that imports it to recognise its types, which would cost the
gateway 90 MB and the better part of a second; so the buffers are laid out here, as Arrow's columnar format says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa


def numbers(values: np.ndarray, kind: pa.DataType, missing: np.ndarray | None = None) -> pa.Array:
    """Return a column of numbers or times; `values` are of shape (n_rows,) and of the width of `kind`."""
    import pyarrow as pa

    data = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(kind, len(values), [_validity(missing), data])


def truths(values: np.ndarray, missing: np.ndarray | None = None) -> pa.Array:
    """Return a column of true and false."""
    import pyarrow as pa

    return pa.Array.from_buffers(pa.bool_(), len(values), [_validity(missing), _bits(values)])


def texts(values: Sequence[str], missing: np.ndarray | None = None) -> pa.Array:
    """Return a column of texts.

    Raises:
        UnicodeEncodeError: one of them is no Unicode text.
    """
    import pyarrow as pa

    encoded = [text.encode() for text in values]
    offsets = np.zeros(len(encoded) + 1, np.int32)
    np.cumsum([len(each) for each in encoded], out=offsets[1:])
    buffers = [_validity(missing), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), buffers)


def lists(flat: pa.Array, kind: pa.DataType, missing: np.ndarray | None = None) -> pa.Array:
    """Return a column of lists of one length, from all of their values in a row."""
    import pyarrow as pa

    n_rows = len(flat) // kind.list_size
    return pa.Array.from_buffers(kind, n_rows, [_validity(missing)], children=[flat])


def _validity(missing: np.ndarray | None) -> pa.Buffer | None:
    return None if missing is None or not missing.any() else _bits(~missing)


def _bits(values: np.ndarray) -> pa.Buffer:
    import pyarrow as pa

    return pa.py_buffer(np.packbits(values, bitorder="little"))
