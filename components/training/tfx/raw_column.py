"""A raw column as the preprocessing computes with it, whatever its Example made of it. Knows no feature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from components.training.tfx.exact import exact_name
from components.types.dataset import MISSING_STRING, ColumnType

_MISSING: Mapping[ColumnType, Any] = {ColumnType.FLOAT64: float("nan"), ColumnType.STRING: MISSING_STRING}


def raw_column(inputs: Mapping[str, Any], name: str, kind: ColumnType) -> Any:
    """Return float64, int64 or strings of shape (n_rows,), with NaN or `MISSING_STRING` for a missing value.

    Args:
        inputs: What the Transform graph is given, parsed by the schema: a column that may be missing is sparse.
        name: The column's.
        kind: The type of its input, or of the label.
    """
    if (bits := inputs.get(exact_name(name))) is not None:
        return tf.bitcast(tf.reshape(bits, [-1]), tf.float64)
    column = inputs[name]
    if isinstance(column, tf.SparseTensor):
        column = tft.sparse_tensor_to_dense_with_shape(column, [None, 1], _MISSING.get(kind, 0))
    column = tf.reshape(column, [-1])
    return tf.cast(column, tf.float64) if kind is ColumnType.FLOAT64 else column
