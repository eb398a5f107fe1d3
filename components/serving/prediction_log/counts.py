"""What became of the rows. Knows nothing of who counts them."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class LogCounts:
    """What became of the rows since the start, in this worker; only ever grows."""

    written: int = 0
    """Rows in files that a reader can see."""
    limited: int = 0
    """Rows left out because a second had too many."""
    dropped: int = 0
    """Rows lost: the queue was full, they could not be written, or the process that was to write them died."""
    files: int = 0
    failures: int = 0
    """Writes that failed; they are tried again."""
    deleted: int = 0
    """Files deleted to stay within `total_bytes`, or left over by a process that died."""

    def __add__(self, other: LogCounts) -> LogCounts:
        return LogCounts(**{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self)})
