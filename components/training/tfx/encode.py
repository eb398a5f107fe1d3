"""Turn raw column tensors into what a Transform graph takes, a missing value into an absent one. Knows no network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from components.errors import ConfigError
from components.runtime.savedmodel.names import input_keys
from components.training.tfx.exact import exact_name
from components.types.dataset import MISSING_STRING, ColumnType
from components.types.product import InputSpec

TENSOR_TYPES = {
    ColumnType.FLOAT64: tf.float64,
    ColumnType.INT64: tf.int64,
    ColumnType.BOOL: tf.bool,
    ColumnType.STRING: tf.string,
}


def column_specs(inputs: tuple[InputSpec, ...]) -> dict[str, Any]:
    """Return the tensor of each raw column, by its key in a ``serving_default`` signature.

    Raises:
        ConfigError: two columns have one key.
    """
    keys = input_keys(each.name for each in inputs)
    return {
        keys[each.name]: tf.TensorSpec((None, *each.shape), TENSOR_TYPES[each.type], keys[each.name]) for each in inputs
    }


def by_name(columns: Mapping[str, Any], inputs: tuple[InputSpec, ...]) -> dict[str, Any]:
    """Return the columns of a ``serving_default`` signature under their own names."""
    return {name: columns[key] for name, key in input_keys(each.name for each in inputs).items()}


def raw_features(columns: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the features that a Transform graph takes: dense, sparse or ragged, as its own signature says.

    Args:
        columns: One tensor per raw column, by the column's name.
        wanted: The type spec of each feature of the Transform graph; the label and the id, which no request has, are
            filled with a value that no other feature depends on.

    Raises:
        ConfigError: the Transform graph takes a column as another type than it has.
    """
    rows = tf.shape(next(iter(columns.values())))[0]
    exact = {exact_name(name): column for name, column in columns.items() if column.dtype == tf.float64}
    features = {}
    for name, spec in wanted.items():
        if name in columns:
            features[name] = _encoded(columns[name], spec, name)
        elif name in exact:
            features[name] = _shaped(tf.bitcast(exact[name], tf.int64), is_present(exact[name]), spec)
        else:
            features[name] = absent_feature(spec, rows)
    return features


def absent_feature(spec: Any, rows: Any) -> Any:
    """Return a feature for `rows` rows that no request has."""
    if isinstance(spec, tf.TensorSpec):
        filler = tf.constant("" if spec.dtype == tf.string else 0, spec.dtype)
        return tf.fill(tf.stack([rows, *spec.shape[1:]]), filler)
    nothing = tf.zeros((0,), tf.int32)
    values = tf.as_string(nothing) if spec.dtype == tf.string else tf.cast(nothing, spec.dtype)
    if isinstance(spec, tf.RaggedTensorSpec):
        return tf.RaggedTensor.from_row_lengths(values, tf.zeros((rows,), spec.row_splits_dtype))
    return tf.SparseTensor(tf.zeros((0, 2), tf.int64), values, tf.stack([tf.cast(rows, tf.int64), 0]))


def is_present(column: Any) -> Any:
    """Return where a column has a value, of the column's own shape."""
    if column.dtype.is_floating:
        return tf.logical_not(tf.math.is_nan(column))
    if column.dtype == tf.string:
        return tf.not_equal(column, MISSING_STRING)
    return tf.ones_like(column, tf.bool)


def _encoded(column: Any, spec: Any, name: str) -> Any:
    if (column.dtype == tf.string) != (spec.dtype == tf.string):
        raise ConfigError(
            f"the Transform graph takes column `{name}` as {spec.dtype.name}, but it is {column.dtype.name}; change "
            "the schema, or the `preprocessing_fn`"
        )
    values = column if column.dtype == spec.dtype else tf.cast(column, spec.dtype)
    return _shaped(values, is_present(column), spec)


def _shaped(values: Any, present: Any, spec: Any) -> Any:
    """Return values as parsing an Example that has the present ones would give them."""
    if isinstance(spec, tf.TensorSpec):
        return tf.reshape(values, [-1, *spec.shape[1:]])
    rows = tf.shape(values)[0]
    there = tf.reshape(present, [rows, -1])
    found = tf.boolean_mask(tf.reshape(values, [rows, -1]), there)
    if isinstance(spec, tf.RaggedTensorSpec):
        return tf.RaggedTensor.from_row_lengths(found, tf.reduce_sum(tf.cast(there, spec.row_splits_dtype), axis=1))
    return tf.SparseTensor(tf.where(there), found, tf.shape(there, tf.int64))
