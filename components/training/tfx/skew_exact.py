"""Rows of one id, compared value by value by TFDV's feature skew detector. Knows no file of the caller's.

The detector compares `tf.train.Example` records: numbers in float32, so a difference that training cannot see either
is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from components.types.tfx import ExactFeatureSkew, ExactSkew

_RESULTS = "skew"


def compare_exactly(training: pa.Table, serving: pa.Table, id_column: str) -> ExactSkew:
    """Return which columns differ in rows that have the same id; only those rows go through Beam."""
    shared = pc.is_in(serving[id_column], value_set=_ids(training, id_column))
    known = pc.is_in(training[id_column], value_set=_ids(serving, id_column))
    base, test = training.filter(known), serving.filter(shared)
    compared = len(_ids(test, id_column))
    features = _detect(base, test, id_column) if compared else ()
    return ExactSkew(
        ids_compared=compared,
        training_only=len(_ids(training, id_column)) - compared,
        serving_only=len(_ids(serving, id_column)) - compared,
        features=features,
    )


def _ids(table: pa.Table, id_column: str) -> pa.Array:
    return pc.unique(table[id_column]).drop_null()


def _detect(base: pa.Table, test: pa.Table, id_column: str) -> tuple[ExactFeatureSkew, ...]:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from tensorflow_data_validation.skew import feature_skew_detector as detector

    with TemporaryDirectory(prefix="towpath-skew-") as folder:
        prefix = str(Path(folder) / _RESULTS)
        # an id that was asked with twice is compared twice: a retry may carry other values
        detect = detector.DetectFeatureSkewImpl([id_column], allow_duplicate_identifiers=True)
        with beam.Pipeline(options=PipelineOptions(["--direct_running_mode=in_memory"])) as pipeline:
            sides = tuple(
                pipeline | name >> beam.Create(list(_examples(table, id_column)), reshuffle=False)
                for name, table in (("Training", base), ("Serving", test))
            )
            found = sides | detect
            _ = found[detector.SKEW_RESULTS_KEY] | detector.skew_results_sink(prefix)
        results = {each.feature_name: each for each in detector.skew_results_iterator(prefix)}
    return tuple(
        ExactFeatureSkew(
            feature=name,
            base_only=results[name].base_only,
            test_only=results[name].test_only,
            mismatched=results[name].mismatch_count,
            matched=results[name].match_count,
        )
        for name in base.column_names
        if name in results and results[name].diff_count
    )


def _examples(table: pa.Table, id_column: str) -> Iterator[Any]:
    """Give one `tf.train.Example` per row; a missing value is an absent feature, and a zero is a value."""
    import tensorflow as tf

    for row in table.to_pylist():
        features = {name: _feature(value) for name, value in row.items() if value is not None}
        features[id_column] = _feature(str(row[id_column]))
        yield tf.train.Example(features=tf.train.Features(feature=features))


def _feature(value: str | float | bool) -> Any:
    import tensorflow as tf

    if isinstance(value, str):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
    if isinstance(value, float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(value)]))
