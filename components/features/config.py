"""What the ``features`` section of a model's configuration may say. Knows no table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from components.stage.config import Section
from components.types.dataset import Task

Name = Annotated[str, Field(min_length=1)]
Share = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]


class _Shares(Section):
    validation: Share = 0.15
    """Which part of the rows chooses the epoch and the winner."""
    test: Share = 0.15
    """Which part of the rows no trainer ever sees."""

    @model_validator(mode="after")
    def _leave_something(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation} and test {self.test} leave no rows to train on")
        return self


class IdSplit(_Shares):
    """By a stable hash of the id: a row never changes sides as the data grows, and rows of one id stay together."""

    by: Literal["id"] = "id"


class TimeSplit(_Shares):
    """By time: the newest rows are for the test, those before for validation; equal times stay together."""

    by: Literal["time"]
    column: Name
    """A timestamp, or a number that grows with time; it is no feature."""


class StratifiedSplit(_Shares):
    """The same share of each class (or of each tenth of the target) on every side.

    Rows may change sides as the data grows, so that metrics of two datasets are not of the same rows.
    """

    by: Literal["stratified"]
    seed: int = 0
    """Another seed gives another split."""


Split = Annotated[IdSplit | TimeSplit | StratifiedSplit, Field(discriminator="by")]


class ColumnSection(Section):
    """How one column becomes features, where the default is not what is wanted."""

    kind: Literal["numeric", "categorical", "flag"] | None = None
    """numeric for float64 and int64, flag (0 or 1, not scaled) for bool, categorical for strings."""
    impute: Literal["mean", "median", "constant"] | None = None
    """What stands for a missing number: the mean of the train split, unless said otherwise."""
    fill: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """The number for `impute: constant`."""
    scale: Literal["standard", "minmax", "none"] | None = None
    """standard: mean 0 and standard deviation 1 on the train split; minmax: 0 to 1 there."""
    max_categories: Annotated[int, Field(ge=1)] | None = None
    """How many of the most frequent categories have a feature of their own; 100 unless said otherwise."""
    min_count: Annotated[int, Field(ge=1)] | None = None
    """How often a category must occur in the train split to have one; 5 unless said otherwise."""

    @model_validator(mode="after")
    def _fill_with_constant(self) -> Self:
        if (self.impute == "constant") != (self.fill is not None):
            raise ValueError("`impute: constant` and `fill` go together")
        return self


class ImageSection(Section):
    """Columns that are the pixels of one image."""

    columns: Name
    """A pattern such as `pixel_*`; the pixels are taken in the table's order, row by row."""
    shape: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=2, max_length=3)]
    """[height, width] or [height, width, channels]."""
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 255.0
    """What the pixels are divided by."""


class FeaturesSection(Section):
    """What is predicted, how the rows are split, and how columns become features."""

    task: Task
    """binary, multiclass or regression."""
    split: Split = IdSplit()
    """Which rows train, choose and test."""
    exclude: tuple[Name, ...] = ()
    """Patterns of columns that are not used."""
    keep: tuple[Name, ...] = ()
    """Columns the label is computed from that may be features all the same; they can give the label away."""
    columns: Mapping[Name, ColumnSection] = {}
    """Columns that are treated in another way than their type suggests."""
    images: Mapping[Name, ImageSection] = {}
    """Groups of columns that are images."""
    class_weights: Literal["none", "balanced"] = "none"
    """balanced: a rare class counts as much as a frequent one."""
    nullable: tuple[Name, ...] = ()
    """Columns that may be missing when the model serves, although no value is missing in the data."""

    @field_validator("split", mode="before")
    @classmethod
    def _by_id_unless_said(cls, split: object) -> object:
        return {"by": "id", **split} if isinstance(split, Mapping) else split

    @model_validator(mode="after")
    def _weights_need_classes(self) -> Self:
        if self.class_weights != "none" and not self.task.is_classification:
            raise ValueError("`class_weights` is for classification; leave it out for regression")
        return self
