"""Choose which columns become which inputs and features, from the manifest and the configuration. Reads no value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import prod

from components.errors import ConfigError
from components.features.config import ColumnSection, FeaturesSection, ImageSection, TimeSplit
from components.stage.config import nearest
from components.types.dataset import Column, ColumnType, DatasetManifest
from components.types.product import InputSpec

RESERVED = ("features", "prediction", "probabilities")
"""Names that the product's graph uses itself."""

_DEFAULT_KIND: Mapping[ColumnType, str] = {
    ColumnType.FLOAT64: "numeric",
    ColumnType.INT64: "numeric",
    ColumnType.BOOL: "flag",
    ColumnType.STRING: "categorical",
}
_KINDS: Mapping[ColumnType, tuple[str, ...]] = {
    ColumnType.FLOAT64: ("numeric", "categorical", "flag"),
    ColumnType.INT64: ("numeric", "categorical", "flag"),
    ColumnType.BOOL: ("flag",),
    ColumnType.STRING: ("categorical",),
}
_OPTIONS_OF: Mapping[str, tuple[str, ...]] = {
    "numeric": ("impute", "fill", "scale"),
    "flag": (),
    "categorical": ("max_categories", "min_count"),
}


@dataclass(frozen=True)
class FeatureColumn:
    """A plain column that becomes one input and some features."""

    name: str
    type: ColumnType
    """Its type in the table."""
    kind: str
    """numeric, flag or categorical."""
    nullable: bool
    impute: str
    fill: float
    scale: str
    max_categories: int
    min_count: int

    @property
    def input(self) -> InputSpec:
        """The product's input; numbers and flags that may be missing are float64, which has NaN for it."""
        widened = self.nullable and self.type in (ColumnType.INT64, ColumnType.BOOL)
        return InputSpec(
            name=self.name,
            type=ColumnType.FLOAT64 if widened else self.type,
            shape=(),
            nullable=self.nullable,
            columns=(self.name,),
        )


@dataclass(frozen=True)
class ImageColumns:
    """Columns that become one input, an image."""

    input: InputSpec
    scale: float


@dataclass(frozen=True)
class Selection:
    """All that becomes a feature."""

    columns: tuple[FeatureColumn, ...]
    images: tuple[ImageColumns, ...]


def select(manifest: DatasetManifest, section: FeaturesSection, where: str) -> Selection:
    """Return what becomes a feature.

    Args:
        manifest: The table's columns.
        section: The configuration.
        where: The section's place, for messages, such as ``pipelines/configs/taxi.yaml: models.taxi.features``.

    Raises:
        ConfigError: a name or pattern fits no column, or one that cannot be a feature, or an option does not fit.
    """
    chooser = _Chooser(manifest, section, where)
    usable = chooser.usable()
    images = tuple(chooser.image(name, image, usable) for name, image in section.images.items())
    pixels = {column for image in images for column in image.input.columns}
    columns = tuple(chooser.feature(each) for each in usable if each.name not in pixels)
    chooser.check_names({each.name for each in columns} | set(section.images), pixels)
    return Selection(columns, images)


class _Chooser:
    """The manifest and the configuration side by side, so that every refusal can name both."""

    def __init__(self, manifest: DatasetManifest, section: FeaturesSection, where: str) -> None:
        self._manifest = manifest
        self._section = section
        self._where = where
        self._columns = {each.name: each for each in manifest.columns}

    def usable(self) -> list[Column]:
        """Return the columns that may be features, in the table's order."""
        for pattern in self._section.exclude:
            if not any(fnmatchcase(name, pattern) for name in self._columns):
                raise self._error("exclude", f"`{pattern}` fits no column{nearest(pattern, self._columns)}")
        for name in self._section.keep:
            if name not in self._manifest.label_inputs:
                inputs = ", ".join(self._manifest.label_inputs) or "none"
                raise self._error("keep", f"`{name}` is no column the label is computed from; those are: {inputs}")
        for key, names in (("columns", self._section.columns), ("nullable", self._section.nullable)):
            for name in names:
                if name not in self._columns:
                    raise self._error(key, f"there is no column `{name}`{nearest(name, self._columns)}")
                if reason := self._unusable(self._columns[name]):
                    raise self._error(key, f"`{name}` cannot be a feature: it is {reason}")
        usable = [each for each in self._manifest.columns if not self._unusable(each)]
        if not usable:
            raise self._error("exclude", f"no column is left as a feature of {len(self._columns)}; exclude less")
        return usable

    def image(self, name: str, image: ImageSection, usable: Iterable[Column]) -> ImageColumns:
        """Return the columns of one image."""
        pixels = [each for each in usable if fnmatchcase(each.name, image.columns)]
        key = f"images.{name}"
        if len(pixels) != prod(image.shape):
            shape = " x ".join(map(str, image.shape))
            raise self._error(key, f"`{image.columns}` fits {len(pixels)} columns where {shape} pixels are expected")
        for each in pixels:
            if each.type not in (ColumnType.FLOAT64, ColumnType.INT64) or each.nulls:
                found = f"{each.type.value} with {each.nulls} missing values"
                raise self._error(key, f"pixel `{each.name}` is {found}; expected numbers, none of them missing")
            if each.name in self._section.columns or each.name in self._section.nullable:
                raise self._error(key, f"pixel `{each.name}` is configured as a column of its own too; choose one")
        whole = all(each.type is ColumnType.INT64 for each in pixels)
        return ImageColumns(
            InputSpec(
                name=name,
                type=ColumnType.INT64 if whole else ColumnType.FLOAT64,
                shape=tuple(image.shape),
                nullable=False,
                columns=tuple(each.name for each in pixels),
            ),
            image.scale,
        )

    def feature(self, column: Column) -> FeatureColumn:
        """Return how one plain column becomes features."""
        options = self._section.columns.get(column.name, ColumnSection())
        kind = options.kind or _DEFAULT_KIND[column.type]
        key = f"columns.{column.name}"
        if kind not in _KINDS[column.type]:
            allowed = " or ".join(_KINDS[column.type])
            raise self._error(key, f"kind `{kind}` does not fit a {column.type.value} column; expected {allowed}")
        given = options.model_dump(exclude_none=True, exclude={"kind"})
        if surplus := sorted(set(given) - set(_OPTIONS_OF[kind])):
            allowed = ", ".join(_OPTIONS_OF[kind]) or "no option"
            raise self._error(key, f"`{surplus[0]}` is not for a {kind} column, which takes {allowed}")
        return FeatureColumn(
            name=column.name,
            type=column.type,
            kind=kind,
            nullable=column.nulls > 0 or column.name in self._section.nullable,
            impute=options.impute or "mean",
            fill=options.fill or 0.0,
            scale=options.scale or "standard",
            max_categories=options.max_categories or 100,
            min_count=options.min_count or 5,
        )

    def check_names(self, inputs: set[str], pixels: set[str]) -> None:
        """Refuse inputs that would bear one name, or a name of the graph's own."""
        plain = {each.name for each in self._manifest.columns} - pixels
        if taken := sorted(set(self._section.images) & plain):
            raise self._error(f"images.{taken[0]}", "a column has this name too; give the image another one")
        if reserved := sorted(inputs & set(RESERVED)):
            raise self._error(
                "exclude", f"`{reserved[0]}` is a name of the product's own; rename or exclude the column"
            )

    def _unusable(self, column: Column) -> str:
        """Return why a column cannot be a feature; empty when it can."""
        name, split = column.name, self._section.split
        if name == self._manifest.id_column:
            return "the id"
        if name == self._manifest.label_column:
            return "the label"
        if isinstance(split, TimeSplit) and name == split.column:
            return "the time by which the rows are split"
        if column.type is ColumnType.TIMESTAMP:
            return "a timestamp"
        if any(fnmatchcase(name, pattern) for pattern in self._section.exclude):
            return "excluded"
        if name in self._manifest.label_inputs and name not in self._section.keep:
            return "one of those the label is computed from (list it under `keep` if it is known when predicting)"
        return ""

    def _error(self, key: str, sentence: str) -> ConfigError:
        return ConfigError(f"{self._where}.{key}: {sentence}")
