"""Turn raw column tensors into serialized tf.train.Examples, inside a graph. Knows no network.

A message's bytes are put together from those of its parts: messages that follow one another are one message (Protocol
Buffers, "Last One Wins" and merging), so a row's Example is its columns' Examples, joined. A missing value adds
nothing; a zero, a False and an empty string are values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from components.training.tfx.encode import is_present

_LISTS = {tf.float32: ("FloatList", "float_list"), tf.int64: ("Int64List", "int64_list")}
_BYTES = ("BytesList", "bytes_list")


def serialized_examples(columns: Mapping[str, Any], more: Mapping[str, Any]) -> Any:
    """Return one serialized tf.train.Example per row, a string tensor of shape (n_rows,).

    Args:
        columns: One tensor per raw column, by the column's name; numbers become float32, whole numbers and flags int64,
            as in the examples that a model is trained on. An image becomes a list of its pixels.
        more: Further features as they are, by their names: float64 columns whose bits travel beside them, and a value
            for all rows.
    """
    rows = tf.shape(next(iter(columns.values())))[0]
    parts = [_features(name, _storable(column), is_present(column)) for name, column in columns.items()]
    for name, feature in more.items():
        values = tf.bitcast(feature, tf.int64) if feature.dtype == tf.float64 else tf.fill([rows], feature)
        parts.append(_features(name, values, is_present(feature) if feature.shape.rank else tf.fill([rows], True)))
    return tf.strings.join(parts)


def _features(name: str, values: Any, present: Any) -> Any:
    """Return an Example with one feature, or the empty text where the column has no value."""
    rows = tf.shape(values)[0]
    there = tf.reshape(present, [rows, -1])[:, 0]
    values = tf.reshape(values, [rows, -1])
    message, field = _LISTS.get(values.dtype, _BYTES)
    feature = _wrap("Feature", field, _wrap(message, "value", values))
    key = tf.repeat(tf.constant([[name]]), rows, axis=0)
    sizes = tf.ones(tf.stack([rows, 2]), tf.int32)
    entry = tf.io.encode_proto(
        sizes, [key, feature[:, tf.newaxis]], ["key", "value"], "tensorflow.Features.FeatureEntry"
    )
    example = _wrap("Example", "features", _wrap("Features", "feature", entry))
    return tf.where(there, example, "")


def _wrap(message: str, field: str, values: Any) -> Any:
    """Return messages with one field, repeated as often as a row of `values` has items."""
    items = values[:, tf.newaxis] if values.shape.rank == 1 else values
    sizes = tf.fill(tf.stack([tf.shape(items)[0], 1]), tf.shape(items)[1])
    return tf.io.encode_proto(sizes, [items], [field], f"tensorflow.{message}")


def _storable(column: Any) -> Any:
    if column.dtype == tf.float64:
        return tf.cast(column, tf.float32)
    return tf.cast(column, tf.int64) if column.dtype == tf.bool else column
