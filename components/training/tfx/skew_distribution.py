"""Distances between the distributions of two tables' columns, as TFDV measures them. Knows no file.

Texts and truths are compared by the L-infinity norm: the largest difference between the shares of one value. Numbers
are compared by the Jensen-Shannon divergence of their histograms. See
https://www.tensorflow.org/tfx/data_validation/get_started#checking_data_skew_and_drift.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.training.tfx.skew_bars import shared_bars
from components.types.tfx import FeatureSkew

L_INFINITY = "L-infinity"
JENSEN_SHANNON = "Jensen-Shannon"


def compare_distributions(
    training: pa.Table, serving: pa.Table, l_infinity: float, jensen_shannon: float
) -> tuple[FeatureSkew, ...]:
    """Return the distance of every column, in order.

    A column is skewed as well when its share of missing values differs by more than `l_infinity`, or when one side has
    no value at all: TFDV compares values only.
    """
    filled = [name for name in training.column_names if _has_value(training, name) and _has_value(serving, name)]
    distances = _distances(training.select(filled), serving.select(filled)) if filled else {}
    found = []
    for name in training.column_names:
        is_text = _is_text(training.schema.field(name).type)
        bound = l_infinity if is_text else jensen_shannon
        distance = distances.get(name)
        shares = _missing_share(training, name), _missing_share(serving, name)
        both_empty = shares == (1.0, 1.0)
        close = both_empty or (distance is not None and distance <= bound)
        found.append(
            FeatureSkew(
                feature=name,
                measure=L_INFINITY if is_text else JENSEN_SHANNON,
                distance=distance,
                bound=bound,
                passed=close and abs(shares[0] - shares[1]) <= l_infinity,
                training_missing=shares[0],
                serving_missing=shares[1],
                bars=shared_bars(training.column(name), serving.column(name)),
            )
        )
    return tuple(found)


def _distances(training: pa.Table, serving: pa.Table) -> dict[str, float]:
    import tensorflow_data_validation as tfdv

    base, served = _statistics(training), _statistics(serving)
    schema = tfdv.infer_schema(base, infer_feature_shape=False)
    for feature in schema.feature:
        comparator = feature.skew_comparator
        if _is_text(training.schema.field(feature.name).type):
            comparator.infinity_norm.threshold = 1.0  # measured here, judged by the caller
        else:
            comparator.jensen_shannon_divergence.threshold = 1.0
    anomalies = tfdv.validate_statistics(base, schema, serving_statistics=served)
    return {
        info.path.step[0]: float(info.skew_measurements[0].value)
        for info in anomalies.drift_skew_info
        if info.skew_measurements
    }


def _statistics(table: pa.Table) -> Any:
    """Return TFDV's statistics of a table: no file and no Beam between."""
    from tensorflow_data_validation.statistics import stats_impl
    from tensorflow_data_validation.statistics.stats_options import StatsOptions

    batch = pa.RecordBatch.from_arrays([_examples(column) for column in table.columns], names=table.column_names)
    return stats_impl.generate_statistics_in_memory(batch, StatsOptions())


def _examples(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as TFDV takes it: one list per row, null where the value is missing."""
    whole = column.combine_chunks()
    values: pa.Array = pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole
    if pa.types.is_boolean(values.type):
        values = pc.if_else(values, "true", "false")
    present = np.asarray(values.is_valid().to_numpy(zero_copy_only=False), np.bool_)
    offsets = np.concatenate([[0], np.cumsum(present)]).astype(np.int32)
    absent = np.concatenate([~present, [False]])
    return pa.ListArray.from_arrays(pa.array(offsets, mask=absent), values.drop_null())


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_boolean(kind))


def _has_value(table: pa.Table, name: str) -> bool:
    return bool(table.column(name).null_count < table.num_rows)


def _missing_share(table: pa.Table, name: str) -> float:
    return float(table.column(name).null_count / table.num_rows) if table.num_rows else 1.0
