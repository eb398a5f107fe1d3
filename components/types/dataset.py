"""What a dataset is: its columns, and the manifest that travels beside its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MISSING_STRING = "\ufdd0"
"""Stands for a missing value in a string tensor, which cannot hold null; a Unicode noncharacter, refused in data."""

TABLE_FILE = "table.parquet"
MANIFEST_FILE = "manifest.json"


class ColumnType(StrEnum):
    """The types a column may have after `ingest`."""

    FLOAT64 = "float64"
    INT64 = "int64"
    BOOL = "bool"
    STRING = "string"
    TIMESTAMP = "timestamp"


class Task(StrEnum):
    """What a model predicts."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"

    @property
    def is_classification(self) -> bool:
        """Whether the model predicts one of a set of classes."""
        return self is not Task.REGRESSION


class Split(StrEnum):
    """The three sides of a dataset."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True)
class Column:
    """One column of an ingested table."""

    name: str
    type: ColumnType
    nulls: int
    """How many of its values are missing."""


@dataclass(frozen=True)
class DatasetManifest:
    """What `ingest` wrote (``data/<model>/dataset/``): `TABLE_FILE` and this, as `MANIFEST_FILE`."""

    model: str
    digest: str
    """SHA-256 of the table's bytes, as 64 hex digits; checked again wherever the table is read."""
    rows: int
    columns: tuple[Column, ...]
    """All columns of the table in order, id and label among them."""
    id_column: str
    label_column: str
    label_inputs: tuple[str, ...]
    """Columns that the label's expression uses; they are no features unless kept by name."""
    source_digest: str
    """SHA-256 of the canonical JSON of the probe (``source.json``) that was read; of an incremental source, of its
    batches."""
    unlabelled_rows: int = 0
    """Rows of the source that are not in the table, because their label is missing."""
