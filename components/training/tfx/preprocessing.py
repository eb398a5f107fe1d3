"""The Transform graph from raw columns to ``features`` and ``target``, by the prepare stage's plan. Knows no network.

Means, deviations, ranges and categories are learned by analyzers from the examples of the train split; the plan says
of which columns, and where each feature has its place. What was learned agrees with the plan's own numbers, so that the
features are those of every other trainer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf, prod
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from components.training.tfx.categories import learn_categories
from components.training.tfx.raw_column import raw_column
from components.types import record
from components.types.dataset import MISSING_STRING, ColumnType
from components.types.features import FEATURE_PLAN_FILE, CategoryPlan, FeaturePlan, ImagePlan, NumberPlan, TargetPlan
from components.types.training import PREPARED_FILE, PreparedSpec

FEATURES, TARGET, ROW_ID = "features", "target", "row_id"
"""What the graph gives of a row. Beam may write rows in any order, so each has its id with it; a `preprocessing_fn` of
one's own may leave the id out."""


def preprocessing_fn(inputs: Mapping[str, Any], custom_config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the features, float32 of shape (n_rows, n_features), and the target and the id, of shape (n_rows,).

    Features and target are what `prepare` wrote as ``<split>.features.npy`` and ``<split>.target.npy``: the target is
    the int64 index of the class (-1 for a label that is none), or the float32 standardised number. The features do not
    depend on the label, so that a product can take the graph without it.

    Args:
        inputs: The raw columns and the label, as parsed by the schema: a column that may be missing is sparse.
        custom_config: Has the folder that `prepare` wrote as ``prepared_dir``.
    """
    prepared_dir = Path(custom_config["prepared_dir"])
    plan = record.read(FeaturePlan, prepared_dir / FEATURE_PLAN_FILE)
    id_column = record.read(PreparedSpec, prepared_dir / PREPARED_FILE).id_column
    blocks = [
        *_numbers(inputs, plan.numbers),
        *_categories(inputs, plan.categories),
        *(_image(inputs, each) for each in plan.images),
    ]
    features = tf.concat([tf.cast(each, tf.float32) for each in blocks], axis=1)
    return {
        FEATURES: tf.ensure_shape(features, (None, len(plan.feature_names))),
        TARGET: _target(inputs, plan.target),
        ROW_ID: inputs[id_column],
    }


def _numbers(inputs: Mapping[str, Any], plans: Sequence[NumberPlan]) -> list[Any]:
    """Return the scaled numbers, float64 of shape (n_rows, n_numbers), and their indicators of missing values."""
    if not plans:
        return []
    columns = [raw_column(inputs, each.input.name, each.input.type) for each in plans]
    values = tf.stack([tf.cast(each, tf.float64) for each in columns], axis=1)
    missing = tf.math.is_nan(values)
    mean, variance = (learn(values, reduce_instance_dims=False) for learn in (tft.mean, tft.var))  # of those present
    gaps = tft.mean(tf.cast(missing, tf.float64), reduce_instance_dims=False)
    impute = _impute_values(mean, plans)
    # with gaps filled: the moments of two parts together, one of them a single number
    filled_mean = mean + gaps * (impute - mean)
    filled_variance = (1 - gaps) * (variance + gaps * tf.square(impute - mean))
    low, high = _range(values, missing, gaps, impute, plans)
    standard = _are(plans, lambda each: each.scale == "standard")
    minmax = _are(plans, lambda each: each.scale == "minmax")
    offset = tf.where(standard, filled_mean, tf.where(minmax, low, 0.0))
    divisor = tf.where(standard, tf.sqrt(filled_variance), tf.where(minmax, high - low, 1.0))
    # one number and gaps: only the gaps tell something, and dividing by infinity keeps the number's feature at 0
    divisor = tf.where(_are(plans, lambda each: each.divisor is None), tf.constant(inf, tf.float64), divisor)
    blocks = [(tf.where(missing, impute, values) - offset) / divisor]
    if marked := [index for index, each in enumerate(plans) if each.marks_missing]:
        blocks.append(tf.gather(missing, marked, axis=1))
    return blocks


def _impute_values(mean: Any, plans: Sequence[NumberPlan]) -> Any:
    """Return what stands for a missing value in each column.

    A median is the plan's: `tft.quantiles` gives an approximate one, in float32, and never one between two values.
    """
    given = tf.constant([each.impute_value for each in plans], tf.float64)
    more_frequent = tf.cast(mean >= 0.5, tf.float64)
    by_mean = _are(plans, lambda each: each.kind != "flag" and each.impute == "mean")
    return tf.where(_are(plans, lambda each: each.kind == "flag"), more_frequent, tf.where(by_mean, mean, given))


def _range(values: Any, missing: Any, gaps: Any, impute: Any, plans: Sequence[NumberPlan]) -> tuple[Any, Any]:
    """Return the least and the greatest value of each column with gaps filled, or zeros where nobody asks for them."""
    if not any(each.scale == "minmax" for each in plans):
        return tf.zeros_like(impute), tf.zeros_like(impute)
    infinite = tf.constant(inf, tf.float64)
    low = tft.min(tf.where(missing, infinite, values), reduce_instance_dims=False)
    high = tft.max(tf.where(missing, -infinite, values), reduce_instance_dims=False)
    has_gaps = gaps > 0
    return (
        tf.where(has_gaps, tf.minimum(low, impute), low),
        tf.where(has_gaps, tf.maximum(high, impute), high),
    )


def _categories(inputs: Mapping[str, Any], plans: Sequence[CategoryPlan]) -> list[Any]:
    """Return a block of shape (n_rows, n_features of the column) for each column."""
    columns = [raw_column(inputs, each.input.name, each.input.type) for each in plans]
    with_values = [index for index, each in enumerate(plans) if each.values]
    learned = learn_categories([columns[index] for index in with_values], [plans[index] for index in with_values])
    categories = dict(zip(with_values, learned, strict=True))
    return [
        _category(column, each, categories.get(index))
        for index, (column, each) in enumerate(zip(columns, plans, strict=True))
    ]


def _category(column: Any, plan: CategoryPlan, categories: Any) -> Any:
    parts = [] if categories is None else [tf.equal(column[:, None], categories[None, :])]
    if plan.marks_missing:
        is_text = plan.input.type is ColumnType.STRING
        parts.append((tf.equal(column, MISSING_STRING) if is_text else tf.math.is_nan(column))[:, None])
    if plan.has_other:
        known = tf.reduce_any(tf.concat(parts, axis=1), axis=1, keepdims=True)
        parts.append(tf.logical_not(known))
    return tf.concat(parts, axis=1)


def _image(inputs: Mapping[str, Any], plan: ImagePlan) -> Any:
    pixels = tf.reshape(tf.cast(inputs[plan.input.name], tf.float64), [-1, prod(plan.input.shape)])
    return pixels / plan.scale


def _target(inputs: Mapping[str, Any], plan: TargetPlan) -> Any:
    """Return what a network learns.

    The classes, the mean and the scale are the plan's: the product turns a prediction back by those very values.
    """
    if not plan.classes:
        label = raw_column(inputs, plan.column, ColumnType.FLOAT64)
        return tf.cast((label - plan.mean) / plan.scale, tf.float32)
    label = raw_column(inputs, plan.column, plan.type)
    classes = [int(each) if isinstance(each, bool) else each for each in plan.classes]
    matches = tf.equal(label[:, None], tf.constant([classes], label.dtype))
    return tf.where(tf.reduce_any(matches, axis=1), tf.argmax(tf.cast(matches, tf.int8), axis=1), -1)


def _are(plans: Sequence[NumberPlan], holds: Callable[[NumberPlan], bool]) -> Any:
    """Return for which columns something holds, of shape (n_columns,)."""
    return np.array([holds(each) for each in plans])
