"""Volume, errors and latency of a window, by version and role, and over time. Judges nothing."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from components.monitoring.log_files import SHADOW, LogWindow, collect
from components.types.monitoring import Moment, VersionTraffic

PARTS = 48
"""Into so many parts a window is cut."""
CONFIDENCE = 0.95
_FAILED = 500
_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def read_traffic(window: LogWindow) -> tuple[tuple[VersionTraffic, ...], tuple[Moment, ...]]:
    """Return what each version answered in each role, and what users asked when.

    Raises:
        DigestMismatchError: a file is damaged.
        InfrastructureError: the log cannot be read.
    """
    traffic: list[VersionTraffic] = []
    requests: Counter[int] = Counter()
    errors: Counter[int] = Counter()
    for version, paths in window.files().items():
        for row in _by_role(window, paths):
            traffic.append(_traffic(version, row))
        for part, role, asked, failed in _by_part(window, paths):
            if role != SHADOW:
                requests[part] += asked
                errors[part] += failed
    moments = [
        Moment(_start(window, part).isoformat(), requests[part], errors[part])
        for part in range(PARTS if requests else 0)
    ]
    return tuple(traffic), tuple(moments)


def _by_role(window: LogWindow, paths: Any) -> list[dict[str, Any]]:
    import polars as pl

    is_request = pl.col("row") == 0
    rows = (
        window.scan(paths)
        .group_by("role")
        .agg(
            pl.len().alias("rows"),
            is_request.sum().alias("requests"),
            (is_request & (pl.col("status") >= _FAILED)).sum().alias("errors"),
            *(pl.col("latency_ms").filter(is_request).quantile(q).alias(name) for name, q in _QUANTILES.items()),
        )
    )
    return collect(rows, window.folder).sort("role").to_dicts()


def _by_part(window: LogWindow, paths: Any) -> list[tuple[int, str, int, int]]:
    import polars as pl

    part = ((pl.col("time").dt.epoch("us") - _micros(window.since)) // _micros_of(_length(window))).alias("part")
    rows = (
        window.scan(paths)
        .filter(pl.col("row") == 0)
        .group_by(part.clip(0, PARTS - 1), "role")
        .agg(pl.len().alias("requests"), (pl.col("status") >= _FAILED).sum().alias("errors"))
    )
    return [
        (int(each["part"]), each["role"], int(each["requests"]), int(each["errors"]))
        for each in collect(rows, window.folder).to_dicts()
    ]


def _traffic(version: int, row: dict[str, Any]) -> VersionTraffic:
    low, high = share_interval(int(row["errors"]), int(row["requests"]))
    times = {f"{name}_ms": None if row[name] is None else float(row[name]) for name in _QUANTILES}
    return VersionTraffic(
        version=version,
        role=row["role"],
        requests=int(row["requests"]),
        rows=int(row["rows"]),
        errors=int(row["errors"]),
        error_low=low,
        error_high=high,
        **times,
    )


def share_interval(hits: int, tries: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (E. B. Wilson: Probable inference, JASA 1927); all of it without a try."""
    if not tries:
        return 0.0, 1.0
    from scipy.stats import binomtest

    interval = binomtest(hits, tries).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def _length(window: LogWindow) -> timedelta:
    return (window.until - window.since) / PARTS


def _start(window: LogWindow, part: int) -> datetime:
    return window.since + part * _length(window)


def _micros(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)


def _micros_of(length: timedelta) -> int:
    return max(round(length.total_seconds() * 1_000_000), 1)
