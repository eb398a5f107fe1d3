"""Which numbers a tf.train.Example holds too coarsely, and how their bits travel beside them. Knows no TensorFlow.

An Example has float32 and no float64. That is seven digits: too few for a longitude within one town, or for a census
tract of eleven digits, once the mean is taken off. Such a column has a second one beside it, int64, with the bits of
the float64 (of NaN, where it is missing); the column itself stays, for statistics are of numbers. What is close enough
in float32 has no second one.
"""

from __future__ import annotations

from components.types.dataset import ColumnType
from components.types.features import FeaturePlan, NumberPlan

_ROUNDING = 2.0**-24
"""The largest relative error of float32."""
_WHOLE = 2.0**24
"""Up to here float32 holds every whole number."""
_CLOSE_ENOUGH = 5e-6
"""How far a feature may be moved by the rounding of its raw value."""


def exact_name(column: str) -> str:
    """Return the name of the column with the bits of `column`."""
    return f"{column} (float64 bits)"


def exact_columns(plan: FeaturePlan) -> tuple[str, ...]:
    """Return the columns whose bits travel beside them, the label of a regression among them."""
    numbers = [each.input.name for each in plan.numbers if _is_too_coarse(each)]
    # of two categories that float32 takes for one, one may be rare, and be known nowhere here
    categories = [each.input.name for each in plan.categories if each.input.type is ColumnType.FLOAT64]
    label = [] if plan.target.classes else [plan.target.column]
    return (*numbers, *categories, *label)


def _is_too_coarse(number: NumberPlan) -> bool:
    if number.input.type is not ColumnType.FLOAT64 or number.divisor is None:
        return False
    if number.offset == 0:  # the feature is float32 too, and no less coarse than the value
        return False
    if number.type is not ColumnType.FLOAT64 and number.largest <= _WHOLE:
        return False
    return number.largest * _ROUNDING > _CLOSE_ENOUGH * number.divisor
