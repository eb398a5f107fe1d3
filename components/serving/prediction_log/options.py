"""What the prediction log is told: what share to keep, and how much of it. Knows nothing of Parquet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from components.errors import ConfigError


@dataclass(frozen=True)
class LogOptions:
    """How predictions are logged; each limit holds for one worker, `total_bytes` for the folder."""

    folder: Path
    """Files appear as ``<folder>/<model>/date=<day>/<time>-….parquet``."""
    rate: float = 1.0
    """The share of requests that is logged; stable and shadow rows of one request are both in the log or both not."""
    rows_per_s: float = 1_000.0
    """Most rows logged a second, with one second's worth of burst; what is beyond is counted, not logged."""
    queue_rows: int = 20_000
    """Most rows waiting for the writer; beyond, rows are dropped and counted."""
    queue_bytes: int = 33_554_432
    """Most bytes of tensors waiting for the writer; beyond, rows are dropped and counted."""
    file_rows: int = 100_000
    """A file is closed at so many rows, …"""
    file_bytes: int = 8_388_608
    """… at so many bytes in memory (its Parquet is smaller), …"""
    file_s: float = 60.0
    """… or at this age: what a kill -9 of the process that writes can cost."""
    total_bytes: int = 1_073_741_824
    """Largest size of the folder's Parquet files together; the oldest are deleted."""
    retry_s: float = 5.0
    """How long until a file that could not be written is tried again."""


def check_log_options(options: LogOptions) -> None:
    """Check that the options make sense together.

    Raises:
        ConfigError: one of them does not.
    """
    if not 0 < options.rate <= 1:
        raise ConfigError(
            f"the prediction log's rate is {options.rate:g}, expected above 0 and at most 1; "
            "to log nothing, leave the log out"
        )
    for name in (
        "rows_per_s",
        "queue_rows",
        "queue_bytes",
        "file_rows",
        "file_bytes",
        "file_s",
        "total_bytes",
        "retry_s",
    ):
        if not (value := getattr(options, name)) > 0:
            raise ConfigError(f"the prediction log's {name} is {value:g}, expected a number above 0")
    if options.total_bytes < options.file_bytes:
        raise ConfigError(
            f"the prediction log's total_bytes is {options.total_bytes}, expected at least file_bytes "
            f"({options.file_bytes}): otherwise no file could stay"
        )
