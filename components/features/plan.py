"""Put how each column becomes features, and what was learned for it, into one record. Learns nothing itself."""

from __future__ import annotations

import math

from components.features.graph import in_feature_order
from components.features.selection import Selection
from components.features.statistics import Fitted, FittedCategory, FittedNumber
from components.types.dataset import DatasetManifest
from components.types.features import CategoryPlan, FeaturePlan, ImagePlan, NumberPlan, TargetPlan
from components.types.training import PreparedSpec


def feature_plan(manifest: DatasetManifest, selection: Selection, fitted: Fitted, spec: PreparedSpec) -> FeaturePlan:
    """Return the record of what `build_graph` makes a graph of."""
    return FeaturePlan(
        numbers=tuple(_number(each) for each in in_feature_order(fitted.numbers)),
        categories=tuple(_category(each) for each in fitted.categories),
        images=tuple(ImagePlan(each.input, each.scale) for each in selection.images),
        feature_names=spec.feature_names,
        constant=fitted.constant,
        target=TargetPlan(
            column=spec.label_column,
            type=next(each.type for each in manifest.columns if each.name == spec.label_column),
            classes=spec.classes,
            mean=spec.target_mean,
            scale=spec.target_scale,
        ),
    )


def _number(fitted: FittedNumber) -> NumberPlan:
    column = fitted.column
    return NumberPlan(
        input=column.input,
        type=column.type,
        kind=column.kind,
        impute=column.impute,
        scale="none" if column.kind == "flag" else column.scale,
        impute_value=fitted.impute,
        offset=fitted.mean,
        divisor=fitted.scale if math.isfinite(fitted.scale) else None,
        marks_missing=fitted.marks_missing,
        largest=fitted.largest,
    )


def _category(fitted: FittedCategory) -> CategoryPlan:
    column = fitted.column
    return CategoryPlan(
        input=column.input,
        type=column.type,
        max_categories=column.max_categories,
        min_count=column.min_count,
        values=fitted.values,
        marks_missing=fitted.marks_missing,
        has_other=fitted.has_other,
    )
