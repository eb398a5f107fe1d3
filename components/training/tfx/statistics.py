"""Read what StatisticsGen and ExampleValidator left into our own records. Knows no threshold and no schema's rules."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

from components.training.tfx.exact import exact_name
from components.types.tfx import (
    Anomalies,
    Anomaly,
    Bucket,
    DataStatistics,
    FeatureStatistics,
    SplitStatistics,
    ValueCount,
)

_SPLITS = {"Split-train": "train", "Split-eval": "validation"}
"""TFX's folders of the splits, and our names of them."""
_STATISTICS_FILE = "FeatureStats.pb"
_ANOMALIES_FILE = "SchemaDiff.pb"
_TOP_VALUES = 20


def read_statistics(statistics: Path) -> DataStatistics:
    """Return the statistics of every split below StatisticsGen's artifact.

    Raises:
        OSError: nothing is there.
    """
    splits = []
    for folder, split in _SPLITS.items():
        found = tfdv.load_stats_binary(str(statistics / folder / _STATISTICS_FILE))
        dataset = found.datasets[0]
        features = [_feature(each, dataset.num_examples) for each in dataset.features]
        encodings = {exact_name(each.name) for each in features}  # the same numbers again, as bits
        shown = tuple(each for each in features if each.name not in encodings)
        splits.append(SplitStatistics(split, int(dataset.num_examples), shown))
    return DataStatistics(tuple(splits))


def read_anomalies(anomalies: Path) -> Anomalies:
    """Return where the splits do not meet the schema, as below ExampleValidator's artifact.

    Raises:
        OSError: nothing is there.
    """
    found: list[Anomaly] = []
    for folder, split in _SPLITS.items():
        message = anomalies_pb2.Anomalies.FromString((anomalies / folder / _ANOMALIES_FILE).read_bytes())
        if message.HasField("dataset_anomaly_info"):
            found.append(_anomaly(split, "", message.dataset_anomaly_info))
        found += [_anomaly(split, name, info) for name, info in sorted(message.anomaly_info.items())]
        found += [_missing(split) for _ in range(message.data_missing)]
    return Anomalies(tuple(found))


def _missing(split: str) -> Anomaly:
    return Anomaly(split, "", "No data", "the split has no row")


def _anomaly(split: str, feature: str, info: Any) -> Anomaly:
    return Anomaly(split, feature, info.short_description, info.description)


def _feature(feature: Any, n_rows: float) -> FeatureStatistics:
    kind = feature.WhichOneof("stats")
    stats = getattr(feature, kind)
    rows = int(stats.common_stats.num_non_missing)
    numbers = _numbers(stats) if kind == "num_stats" else _texts(stats)
    return FeatureStatistics(
        name=feature.name or ".".join(feature.path.step),
        type=statistics_pb2.FeatureNameStatistics.Type.Name(feature.type),
        rows=rows,
        missing=int(n_rows) - rows,
        **numbers,
    )


def _numbers(stats: Any) -> Mapping[str, Any]:
    """Return what numbers have; the histogram is the one of equal widths."""
    if not stats.common_stats.tot_num_values:
        return {}
    standard = [each for each in stats.histograms if each.type == statistics_pb2.Histogram.STANDARD]
    buckets = standard[0].buckets if standard else ()
    return {
        "zeros": int(stats.num_zeros),
        "mean": _finite(stats.mean),
        "std": _finite(stats.std_dev),
        "min": _finite(stats.min),
        "median": _finite(stats.median),
        "max": _finite(stats.max),
        "histogram": tuple(
            Bucket(each.low_value, each.high_value, each.sample_count)
            for each in buckets
            if math.isfinite(each.low_value) and math.isfinite(each.high_value)
        ),
    }


def _texts(stats: Any) -> Mapping[str, Any]:
    top = tuple(ValueCount(each.value, each.frequency) for each in list(getattr(stats, "top_values", ()))[:_TOP_VALUES])
    return {"unique": int(stats.unique), "top_values": top}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
