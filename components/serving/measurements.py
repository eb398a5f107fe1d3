"""Count what the gateway does, cheaply: a few additions per request. Knows nothing of Prometheus, nor of who asks.

prometheus-client's own histogram takes several microseconds an observation; these plain numbers are turned into its
families only when somebody scrapes (`exposition`). The workers of a gateway add their numbers up over the board, as
figures by name under the model's name (`totals_of`).
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from components.serving.board import Board
    from components.serving.prediction_log import PredictionLog

BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds of the latency histogram; the last bucket is everything slower."""
GATEWAY = "*"
"""Stands for the gateway itself in the totals; no model can be called so."""

Totals = dict[str, dict[str, float]]

_publishing = threading.Lock()


class Measurements:
    """What happened to one model's requests, over all of its versions."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, str, int], int] = {}
        """By version, role and status; version and role are empty where a request reached none."""
        self.by_role: dict[str, list[float]] = {}
        """By role: how many were how fast (`BUCKETS_S`), and at the end all seconds together."""
        self.rows = 0
        self.load_failures = 0

    def observe(self, status: int, seconds: float, version: str = "", role: str = "") -> None:
        """Count one answered request.

        Args:
            status: The HTTP status.
            seconds: From the first byte read to the answer given.
            version: Which version answered.
            role: What it was asked as; empty where the request named the version.
        """
        key = (version, role, status)
        self.requests[key] = self.requests.get(key, 0) + 1
        times = self.by_role.get(role)
        if times is None:
            times = self.by_role[role] = [0.0] * (len(BUCKETS_S) + 2)
        times[bisect_left(BUCKETS_S, seconds)] += 1
        times[-1] += seconds

    def figures(self) -> dict[str, float]:
        """Return the counts by name, so that those of several workers can be added."""
        made: dict[str, float] = {"rows": self.rows, "load_failures": self.load_failures}
        for (version, role, status), count in self.requests.copy().items():
            made[f"requests|{version}|{role}|{status}"] = count
        for role, times in self.by_role.copy().items():
            for place, value in enumerate(times[:-1]):
                made[f"bucket|{role}|{place}"] = value
            made[f"seconds|{role}"] = times[-1]
        return made


class Measured(Protocol):
    """The part of a gateway that is counted."""

    stats: dict[str, Measurements]
    swaps: int
    refused: int
    board: Board | None
    predictions: PredictionLog | None


def totals_of(gateway: Measured) -> Totals:
    """Return what this worker counted since its start."""
    made = {model: each.figures() for model, each in gateway.stats.copy().items()}
    about: dict[str, float] = {"swaps": gateway.swaps, "refused": gateway.refused}
    if gateway.predictions is not None:
        counts = gateway.predictions.counts
        about |= {f"log|{each.name}": getattr(counts, each.name) for each in fields(counts)}
    made[GATEWAY] = about
    return made


def publish_totals(gateway: Measured) -> Mapping[str, Mapping[str, float]]:
    """Tell the board what this worker counted, and return what all workers counted; may be called in any thread.

    Raises:
        OSError: the board cannot be written.
    """
    own = totals_of(gateway)
    if gateway.board is None:
        return own
    with _publishing:  # the beat of the worker and a scrape may come together
        gateway.board.publish(own)
        return gateway.board.totals()
