"""What an incremental source's dataset is made of, batch by batch. Records only; knows no kind of source."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Unit(StrEnum):
    """What one batch of a source is."""

    FILE = "file"
    PARTITION = "partition"
    """All files of one folder."""
    WATERMARK = "watermark"
    """The rows of an SQL query that are new or were changed."""


class Decision(StrEnum):
    """What is to be done with a batch that is not simply good."""

    HELD = "held"
    """It is in quarantine: left out until its bytes, the suite or the configuration change."""
    RELEASED = "released"
    """Somebody said that it is good although it does not meet the suite by itself."""
    DROPPED = "dropped"
    """Somebody said that it shall never be in a dataset."""


@dataclass(frozen=True)
class StoredFile:
    """One file of a batch, whose bytes stand in the batch store."""

    path: str
    """As the source names it."""
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Window:
    """The rows of an SQL query that were looked at for a batch."""

    column: str
    """The watermark."""
    type: str
    """The Python type that it came as."""
    lower: str | None
    """From where on, inclusive and with the lookback; None for the first batch."""
    upper: str
    """Up to where, inclusive."""


@dataclass(frozen=True)
class Batch:
    """One batch that is part of a dataset."""

    name: str
    """The file or folder as the source names it, or the number of an SQL batch; batches stand in this order."""
    version: str
    """What tells it from another batch of the same name."""
    files: tuple[StoredFile, ...]
    rows: int
    late: bool = False
    """It came after one that stands behind it."""
    corrects: str | None = None
    """The version whose rows it replaced; a batch keeps the last one."""
    window: Window | None = None


@dataclass(frozen=True)
class BatchedSource:
    """What ``data/<model>/source.json`` holds of an incremental source; nothing in it depends on when the probe ran."""

    kind: str
    origin: str
    """The pattern, or the query."""
    unit: Unit
    batches: tuple[Batch, ...]
    """What the dataset is made of, in order."""
    new: tuple[str, ...] = ()
    """Names of those that were not in the last good dataset."""
    replaced: tuple[Batch, ...] = ()
    """What the last good dataset held and this one does not."""
    held: tuple[Batch, ...] = ()
    """Read, and in quarantine since: no part of the dataset, but kept, for the source may not have them any more."""

    @property
    def good(self) -> tuple[Batch, ...]:
        """What the last good dataset was made of when these batches were chosen."""
        kept = [batch for batch in self.batches if batch.name not in self.new]
        return tuple(sorted((*kept, *self.replaced), key=lambda batch: batch.name))
