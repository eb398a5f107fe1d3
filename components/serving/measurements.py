"""Count what the gateway does, cheaply: one addition per request. Knows nothing of Prometheus, nor of who asks.

prometheus-client's own histogram takes several microseconds an observation; these plain integers are turned into its
families only when somebody scrapes (`exposition`).
"""

from __future__ import annotations

from bisect import bisect_left

BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds of the latency histogram; the last bucket is everything slower."""


class Measurements:
    """What happened to one model's requests, over all of its versions."""

    def __init__(self) -> None:
        self.by_code: dict[int, int] = {}
        self.by_bucket = [0] * (len(BUCKETS_S) + 1)
        self.seconds = 0.0
        self.rows = 0
        self.load_failures = 0

    def observe(self, status: int, seconds: float) -> None:
        """Count one answered request."""
        self.by_code[status] = self.by_code.get(status, 0) + 1
        self.by_bucket[bisect_left(BUCKETS_S, seconds)] += 1
        self.seconds += seconds
