"""Which columns of kind tfx travel with the bits of their numbers: those that float32 would spoil, and no others."""

from dataclasses import replace

import numpy as np
import pytest

from components.training.tfx.exact import exact_columns
from components.types.dataset import ColumnType
from components.types.features import CategoryPlan, FeaturePlan, NumberPlan, TargetPlan
from components.types.product import InputSpec

WIDE = InputSpec("x", ColumnType.FLOAT64, (), nullable=True, columns=("x",))
LONGITUDE = NumberPlan(WIDE, ColumnType.FLOAT64, "numeric", "mean", "standard", -87.6, -87.6, 0.05, True, 87.9)
ZONE = CategoryPlan(WIDE, ColumnType.INT64, 100, 5, (1, 2), marks_missing=True, has_other=False)
LABEL = TargetPlan("y", ColumnType.BOOL, (False, True), 0.0, 1.0)


def plan(*columns: NumberPlan | CategoryPlan, target: TargetPlan = LABEL) -> FeaturePlan:
    numbers = tuple(each for each in columns if isinstance(each, NumberPlan))
    categories = tuple(each for each in columns if isinstance(each, CategoryPlan))
    return FeaturePlan(numbers, categories, (), (), (), target)


@pytest.mark.parametrize(
    "column",
    [
        LONGITUDE,
        replace(LONGITUDE, scale="minmax", offset=-87.9, divisor=0.4),
        replace(LONGITUDE, type=ColumnType.INT64, offset=1.7e10, divisor=3e5, largest=1.8e10),
        ZONE,
        replace(ZONE, type=ColumnType.FLOAT64, values=(0.1, 0.2)),
    ],
)
def test_a_number_that_float32_would_spoil_travels_with_its_bits(column):
    assert exact_columns(plan(column)) == ("x",)


@pytest.mark.parametrize(
    "column",
    [
        replace(LONGITUDE, input=replace(WIDE, type=ColumnType.INT64, nullable=False)),
        replace(LONGITUDE, type=ColumnType.INT64, offset=40.0, divisor=1e-3, largest=2.0**24),
        replace(LONGITUDE, offset=170.0, divisor=9.0, largest=206.0),
        replace(LONGITUDE, scale="none", offset=0.0, divisor=1.0, largest=1e9),
        replace(LONGITUDE, divisor=None),
        replace(ZONE, input=replace(WIDE, type=ColumnType.STRING), type=ColumnType.STRING, values=("a",)),
    ],
)
def test_a_number_that_float32_holds_closely_enough_travels_alone(column):
    assert exact_columns(plan(column)) == ()


def test_what_travels_alone_moves_its_feature_by_less_than_the_bound():
    rng = np.random.default_rng(0)
    for spread in np.geomspace(1e-3, 1e3, 200):
        values = 1_000 + rng.normal(0, spread, 5_000)
        number = replace(LONGITUDE, offset=values.mean(), divisor=values.std(), largest=float(np.abs(values).max()))
        moved = np.abs(values.astype(np.float32) - values).max() / values.std()
        assert moved <= 5e-6 or exact_columns(plan(number))


def test_the_target_of_a_regression_travels_with_its_bits():
    target = TargetPlan("price", ColumnType.INT64, (), 5.0, 2.0)
    assert exact_columns(plan(target=target)) == ("price",)
