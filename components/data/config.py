"""What the ``data`` section of a model's configuration may say. Reads no data and no secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from components.stage.config import HIDDEN_INPUT, Section
from components.types.batches import Unit
from components.types.dataset import ColumnType

Name = Annotated[str, Field(min_length=1)]
FORMATS = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".pq": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}
COMPRESSIONS = (".gz", ".bz2", ".zst")
GLOB_SIGNS = "*?["


class SklearnSource(Section):
    """A table that comes with scikit-learn."""

    kind: Literal["sklearn"]
    table: Literal["breast_cancer", "digits", "diabetes", "wine"]
    """Which one."""


class CsvOptions(Section):
    """How a CSV file is written."""

    separator: Annotated[str, Field(min_length=1, max_length=1)] = ","
    """Between two fields; a tab where the file's ending is .tsv."""
    quote: Annotated[str, Field(min_length=1, max_length=1)] = '"'
    """Around fields that hold a separator, a quote or a line break."""
    missing: tuple[str, ...] = ()
    """Texts that stand for a missing value, such as `?`; an empty field always does."""
    strip: bool = False
    """Whether blanks around names and values are removed, as in `39, Private, ?`."""
    columns: tuple[Name, ...] = ()
    """The columns' names, for a file without a header."""
    encoding: str = "utf-8"
    """How the file's characters are encoded."""


class FilesSource(Section):
    """Files: a local path or glob, or an http(s)://, s3:// or gs:// address, read through fsspec."""

    kind: Literal["files"]
    path: Name
    """A path or glob relative to the project, or an address; several files are read in the order of their names."""
    format: Literal["csv", "parquet", "jsonl"] | None = None
    """Inferred from the ending when left out."""
    csv: CsvOptions = CsvOptions()
    """How the CSV files are written."""
    batches: Literal["file", "partition"] | None = None
    """Makes the source incremental: every file that matches, or every folder of them, is taken once and kept."""

    @field_validator("path")
    @classmethod
    def _no_secret(cls, path: str) -> str:
        return _without_password(path, "credentials come from the environment")

    @model_validator(mode="after")
    def _batches_of_pattern(self) -> Self:
        if self.batches and self.path.startswith(("http://", "https://")):
            raise ValueError(
                "`batches` needs files that can be listed, and a web server lists none; use s3:// or gs://"
            )
        if self.batches and not any(sign in self.path for sign in GLOB_SIGNS):
            raise ValueError("`batches` needs a pattern in `path`, such as landing/*.csv or lake/day=*/*.parquet")
        return self

    @property
    def is_remote(self) -> bool:
        """Whether the path is an address."""
        return "://" in self.path

    def format_of(self, name: str) -> str | None:
        """Return a file's format, or None when its ending says nothing; ``.gz`` and the like are ignored."""
        name = name.partition("?")[0] if "://" in name else name
        for ending in COMPRESSIONS:
            name = name.removesuffix(ending)
        return self.format or next((kind for ending, kind in FORMATS.items() if name.lower().endswith(ending)), None)


class SqlSource(Section):
    """The rows of an SQL query."""

    kind: Literal["sql"]
    url: str | None = None
    """SQLAlchemy's address of the database, without a password."""
    url_env: str | None = None
    """The environment variable that holds the address; for one with a password."""
    query: Name
    """One SELECT statement."""
    watermark: Name | None = None
    """A column that only grows (an id, a time of insertion): the probe records its maximum, and ingest reads up to it.
    Without one, the probe reads and digests the whole result."""
    batches: Literal["watermark"] | None = None
    """Makes the source incremental: each run takes the rows from the last watermark on, and keeps them."""
    lookback: float | str = 0
    """How far before the last watermark late and corrected rows are looked for, in its units or as `36h`, `2d`."""

    @field_validator("url")
    @classmethod
    def _no_secret(cls, url: str | None) -> str | None:
        return url and _without_password(url, "put the address into an environment variable and name it in `url_env`")

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if (self.url is None) == (self.url_env is None):
            raise ValueError("give either `url` or `url_env`")
        return self

    @field_validator("lookback")
    @classmethod
    def _amount_or_time(cls, lookback: float | str) -> float | str:
        if lookback_s(lookback) is None if isinstance(lookback, str) else not lookback >= 0:
            raise ValueError("expected a number in the watermark's units, or a time such as 90s, 15m, 36h, 2d")
        return lookback

    @model_validator(mode="after")
    def _batches_by_watermark(self) -> Self:
        if self.batches and self.watermark is None:
            raise ValueError("`batches: watermark` needs `watermark`, the column that says what is new")
        if self.lookback and not self.batches:
            raise ValueError("`lookback` needs `batches: watermark`; otherwise the whole query is read")
        return self


class LabelSection(Section):
    """What a model shall predict."""

    name: Name
    """The label's column; with an expression, a new one."""
    expression: str | None = None
    """An SQL expression over the columns of one row, such as `tips > 0.2 * fare`."""
    keep: tuple[Name, ...] = ()
    """Columns of the expression that may be features all the same; the others give the label away."""
    unlabelled: Literal["refuse", "drop"] = "refuse"
    """What is done with rows whose label is missing, or cannot be computed because an input is."""

    @model_validator(mode="after")
    def _keep_of_expression(self) -> Self:
        if self.keep and self.expression is None:
            raise ValueError("`keep` names columns of an expression; there is none")
        return self


def _long_form(label: Any) -> Any:
    return {"name": label} if isinstance(label, str) else label


class DataSection(Section):
    """Where a model's data comes from, and what its columns mean."""

    source: Annotated[SklearnSource | FilesSource | SqlSource, Field(discriminator="kind")]
    """Where the rows are."""
    id: Name | None = None
    """The column that names a row; when left out, its position in the source is added as `row_id`."""
    label: Annotated[LabelSection, BeforeValidator(_long_form, json_schema_input_type=Name | LabelSection)]
    """The column to predict, by its name, or how to derive it."""
    types: Mapping[str, ColumnType] = {}
    """Types of columns where the source's own, or those inferred, are not what is wanted."""
    drop: tuple[Name, ...] = ()
    """Columns that are not read."""

    @property
    def unit(self) -> Unit | None:
        """What one batch is; None for a source that is read as a whole."""
        batches = None if isinstance(self.source, SklearnSource) else self.source.batches
        return Unit(batches) if batches else None

    @model_validator(mode="after")
    def _batches_by_id(self) -> Self:
        if self.unit and self.id is None:
            raise ValueError("`source.batches` needs `id`: positions of rows shift when batches come late")
        return self


def lookback_s(text: str) -> float | None:
    """Return the seconds of a time such as ``36h``, or None for another text."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    return float(found[1]) * {"s": 1, "m": 60, "h": 3_600, "d": 86_400}[found[2]] if found else None


def _without_password(address: str, advice: str) -> str:
    parts = urlsplit(address) if "://" in address else None
    if parts and (parts.password is not None or "password=" in parts.query.lower()):
        raise PydanticCustomError(HIDDEN_INPUT, "The address holds a password; {advice}", {"advice": advice})
    return address
