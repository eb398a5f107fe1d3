"""The schema that the examples must meet, made from what `prepare` knows. Knows no statistics.

Types, presence and shapes come from the inputs, the label's domain from the classes. A text column has no domain: a
value that training never saw is no anomaly, the preprocessing has a place for it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tensorflow_metadata.proto.v0 import schema_pb2

from components.training.tfx.exact import exact_name
from components.training.tfx.examples import label_type
from components.types.dataset import ColumnType
from components.types.training import PreparedSpec

_TYPES = {
    ColumnType.FLOAT64: schema_pb2.FLOAT,
    ColumnType.INT64: schema_pb2.INT,
    ColumnType.BOOL: schema_pb2.INT,
    ColumnType.STRING: schema_pb2.BYTES,
}
_TRAINING, _SERVING = "TRAINING", "SERVING"


def curated_schema(spec: PreparedSpec, exact: Collection[str] = ()) -> Any:
    """Return the schema of a prepared set, as `tensorflow_metadata` has it.

    A column that may have missing values has no shape, so that it reaches the preprocessing as a sparse tensor; all
    others are dense. The label and the id are expected in training only.

    Args:
        spec: What the columns are.
        exact: Columns of numbers whose bits travel beside them.
    """
    schema = schema_pb2.Schema(default_environment=[_TRAINING, _SERVING])
    for each in spec.inputs:
        feature = _feature(schema, each.name, each.type, nullable=each.nullable)
        for size in each.shape:
            feature.shape.dim.add(size=size)
    label = _feature(schema, spec.label_column, label_type(spec), nullable=False)
    label.not_in_environment.append(_SERVING)
    _add_domain(schema, label, spec)
    _feature(schema, spec.id_column, ColumnType.STRING, nullable=False).not_in_environment.append(_SERVING)
    for name in exact:
        bits = _feature(schema, exact_name(name), ColumnType.INT64, nullable=False)
        if name == spec.label_column:
            bits.not_in_environment.append(_SERVING)
    return schema


def _feature(schema: Any, name: str, kind: ColumnType, *, nullable: bool) -> Any:
    feature = schema.feature.add(name=name, type=_TYPES[kind])
    if nullable:
        feature.value_count.CopyFrom(schema_pb2.ValueCount(min=1, max=1))
        feature.presence.CopyFrom(schema_pb2.FeaturePresence(min_fraction=0.0))
    else:
        feature.shape.SetInParent()
        feature.presence.CopyFrom(schema_pb2.FeaturePresence(min_fraction=1.0, min_count=1))
    if kind is ColumnType.BOOL:
        feature.bool_domain.SetInParent()
    return feature


def _add_domain(schema: Any, label: Any, spec: PreparedSpec) -> None:
    if not spec.classes or isinstance(spec.classes[0], bool):
        return
    if isinstance(spec.classes[0], str):
        schema.string_domain.add(name=label.name, value=[str(each) for each in spec.classes])
        label.domain = label.name
    else:
        numbers = [int(each) for each in spec.classes]
        label.int_domain.CopyFrom(schema_pb2.IntDomain(min=min(numbers), max=max(numbers), is_categorical=True))
