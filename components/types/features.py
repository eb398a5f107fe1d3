"""How each raw column becomes features: the configuration, and what `prepare` learned for it. No logic.

`prepare` writes it for those who build the same features once more with the tools of their own framework; the graph
`PREPROCESSING_FILE` is made from the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from components.types.dataset import ColumnType
from components.types.product import InputSpec

FEATURE_PLAN_FILE = "features.json"


@dataclass(frozen=True)
class NumberPlan:
    """A numeric column or flag; its feature is (value or `impute_value` - `offset`) / `divisor`."""

    input: InputSpec
    type: ColumnType
    """Its type in the table; its input is float64 where a whole number or a bool may be missing."""
    kind: str
    """numeric or flag."""
    impute: str
    """mean, median or constant: what stands for a missing number; for a flag always its more frequent value."""
    scale: str
    """standard, minmax or none; none for a flag."""
    impute_value: float
    offset: float
    divisor: float | None
    """None where one number and gaps are all that there is: the feature is 0, and only the gaps tell something."""
    marks_missing: bool
    """Whether it has a feature that is 1 where the value is missing."""
    largest: float
    """The largest absolute value in the train split."""


@dataclass(frozen=True)
class CategoryPlan:
    """A categorical column: one feature per value, 1 where it is the value.

    After those of its values come the feature of a missing value and the one of all other values, where it has them.
    """

    input: InputSpec
    type: ColumnType
    """Its type in the table; its input is float64 where a whole number may be missing."""
    max_categories: int
    min_count: int
    values: tuple[str | int | float, ...]
    """Those with a feature of their own, in the order of the features: sorted."""
    marks_missing: bool
    """Whether it has a feature that is 1 where the value is missing; else a missing value counts as another one."""
    has_other: bool
    """Whether it has a feature that is 1 for rare and unseen values; else all its features are 0 for those."""


@dataclass(frozen=True)
class ImagePlan:
    """An image; its features are its pixels, row by row, divided by `scale`."""

    input: InputSpec
    scale: float


@dataclass(frozen=True)
class TargetPlan:
    """The label, and what a network learns of it."""

    column: str
    type: ColumnType
    """Its type in the table."""
    classes: tuple[str | int | bool, ...]
    """A network learns the index in here; empty for regression."""
    mean: float
    """For regression a network learns (label - mean) / scale; 0 and 1 for classification."""
    scale: float


@dataclass(frozen=True)
class FeaturePlan:
    """What `prepare` wrote beside `PREPARED_FILE`, as `FEATURE_PLAN_FILE`.

    The features are, in this order: one per number; an ``is missing`` for each number that marks it; those of each
    category; those of each image.
    """

    numbers: tuple[NumberPlan, ...]
    categories: tuple[CategoryPlan, ...]
    images: tuple[ImagePlan, ...]
    feature_names: tuple[str, ...]
    """As in `PreparedSpec`."""
    constant: tuple[str, ...]
    """Columns with one value in the whole train split; they are left out."""
    target: TargetPlan

    @property
    def inputs(self) -> tuple[InputSpec, ...]:
        """All inputs, in the order of their features; `PreparedSpec` has them in the table's order."""
        columns: tuple[NumberPlan | CategoryPlan | ImagePlan, ...] = (*self.numbers, *self.categories, *self.images)
        return tuple(each.input for each in columns)
