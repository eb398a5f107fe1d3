"""The prediction log's files of a window of time, by version, as lazy frames. Counts nothing.

The layout is the log's own (``<folder>/<model>/date=<day>/<time>-v<version>-w…parquet``); files of one version have one
schema, those of two need not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from components.errors import DigestMismatchError, InfrastructureError

if TYPE_CHECKING:
    import polars as pl

_NAME = re.compile(r"-v(\d+)-w")
SHADOW = "shadow"
ANSWERED = 200


@dataclass(frozen=True)
class LogWindow:
    """Which part of a log is looked at."""

    folder: Path
    """The environment's log."""
    model: str
    since: datetime
    until: datetime
    """The first moment that is not looked at any more."""

    def files(self) -> Mapping[int, tuple[Path, ...]]:
        """Return the files whose days the window touches, by version, oldest first."""
        first, last = (f"date={each.astimezone(UTC).date().isoformat()}" for each in (self.since, self.until))
        found: dict[int, list[Path]] = {}
        for path in sorted((self.folder / self.model).glob("date=*/*.parquet")):
            name = _NAME.search(path.name)
            if name and first <= path.parent.name <= last:
                found.setdefault(int(name.group(1)), []).append(path)
        return {version: tuple(paths) for version, paths in sorted(found.items())}

    def scan(self, paths: Iterable[Path]) -> pl.LazyFrame:
        """Return the window's rows of some files of one version."""
        import polars as pl

        rows = pl.scan_parquet(list(paths), glob=False, hive_partitioning=False)
        inside = (pl.col("time") >= self.since.astimezone(UTC)) & (pl.col("time") < self.until.astimezone(UTC))
        return rows.filter(inside)


def answered_rows(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Return the rows that users got an answer to: every request counts once, and no shadow's."""
    import polars as pl

    return rows.filter((pl.col("status") == ANSWERED) & (pl.col("role") != SHADOW))


def collect(rows: pl.LazyFrame, where: Path) -> pl.DataFrame:
    """Return what a plan comes to, computed by the streaming engine.

    Raises:
        DigestMismatchError: a file is damaged.
        InfrastructureError: a file was deleted meanwhile, or the disk failed.
    """
    import polars as pl

    try:
        return rows.collect(engine="streaming")
    except OSError as error:
        raise InfrastructureError(
            f"the prediction log in {where} cannot be read: {error}; its oldest files are deleted when it is full: "
            "look again"
        ) from error
    except pl.exceptions.PolarsError as error:
        words = " ".join(str(error).split())[:300]
        raise DigestMismatchError(
            f"a file of the prediction log in {where} cannot be read ({words}); move it away and look again"
        ) from error
