"""Real rows through a sandboxed server, compared with the offline prediction of the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil, inf, isfinite
from typing import Any

from components.release.guards.evidence import GoldenRow, ReplayEvidence
from pipelines.release.requests import RequestRow, cycled
from pipelines.release.sandbox import Progress, Sandbox, ask_all

GOLDEN_ROWS = 8
"""So many of the replayed rows are kept as golden requests."""


def replay(
    box: Sandbox,
    rows: Sequence[RequestRow],
    offline: Sequence[Mapping[str, Any]],
    requests: int,
    tolerance: float,
    progress: Progress,
) -> ReplayEvidence:
    """Ask for rows one after the other, again from the first one where they end, and compare.

    Args:
        box: What answers.
        rows: Real rows.
        offline: Their offline predictions, in the same order.
        requests: How many to send.
        tolerance: How far a number may be off, absolutely, and above 1 in proportion to it.
        progress: Hears how far it is.
    """
    asked = cycled(rows, requests)
    replies = ask_all(box, asked, progress)
    differences = [
        difference(reply.outputs, offline[index % len(rows)]) if reply.valid else inf
        for index, reply in enumerate(replies)
    ]
    return ReplayEvidence(
        product_digest=box.digest,
        requests=len(replies),
        distinct=len({row.body for row in asked}),
        unequal=sum(each > tolerance for each in differences),
        largest_difference=max((each for each in differences if isfinite(each)), default=0.0),
        tolerance=tolerance,
        golden=golden_rows(rows[:requests], offline),
    )


def golden_rows(rows: Sequence[RequestRow], offline: Sequence[Mapping[str, Any]]) -> tuple[GoldenRow, ...]:
    """Return a few rows, taken evenly from all of them, with their offline predictions; none that has NaN in it."""
    every = max(1, ceil(len(rows) / GOLDEN_ROWS))
    taken = list(zip(rows, offline, strict=False))[::every]
    return tuple(GoldenRow(row.body.decode(), dict(each)) for row, each in taken if difference(each, each) == 0)


def difference(served: Mapping[str, Any], offline: Mapping[str, Any]) -> float:
    """Return how far two rows' outputs are apart; infinite where a label or a shape differs, or a number is none."""
    if served.keys() != offline.keys():
        return inf
    return max(_pairs(served, offline), default=inf)


def _pairs(served: Mapping[str, Any], offline: Mapping[str, Any]) -> Iterator[float]:
    for name, wanted in offline.items():
        found = served[name]
        if isinstance(wanted, list):
            yield inf if len(found) != len(wanted) else 0.0
            yield from map(_apart, found, wanted)
        else:
            yield _apart(found, wanted)


def _apart(found: Any, wanted: Any) -> float:
    if isinstance(wanted, float) and isinstance(found, (int, float)) and not isinstance(found, bool):
        apart = abs(found - wanted) / max(1.0, abs(wanted))
        return apart if isfinite(apart) else inf
    return 0.0 if type(found) is type(wanted) and found == wanted else inf
