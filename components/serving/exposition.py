"""The gateway's numbers as Prometheus text. Knows nothing of how they were counted; imported only when scraped.

Whichever worker is scraped, counters and rollouts are those of all workers; what is one worker's own has its label.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from components.serving.measurements import BUCKETS_S, GATEWAY, publish_totals
from components.serving.rollout_metrics import rollout_families, worker_families
from components.types.release import Role

if TYPE_CHECKING:
    from components.serving.gateway import Gateway

CONTENT_TYPE = CONTENT_TYPE_LATEST.encode()
_BOUNDS = [*(f"{bound:g}" for bound in BUCKETS_S), "+Inf"]

_Totals = Mapping[str, Mapping[str, float]]


def make_registry(gateway: Gateway) -> CollectorRegistry:
    """Return a registry that reads `gateway` whenever it is asked."""
    registry = CollectorRegistry()
    PlatformCollector(registry=registry)
    if len(gateway.release_status().workers) <= 1:  # of several, each scrape would meet another process
        ProcessCollector(registry=registry)
    registry.register(_GatewayCollector(gateway))
    return registry


def render(registry: CollectorRegistry) -> bytes:
    """Return the text that Prometheus reads."""
    return generate_latest(registry)


class _GatewayCollector(Collector):
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        gateway = self._gateway
        totals = publish_totals(gateway)
        status = gateway.release_status()
        yield from _requests({model: figures for model, figures in totals.items() if model != GATEWAY})
        yield _models(gateway)
        yield _gauge(
            "in_flight", "Requests being read or computed now, in the worker that was scraped", gateway.in_flight
        )
        yield _gauge("ready", "1 when every model of the snapshot is served", float(gateway.is_ready))
        yield _gauge("snapshot_sequence", "Number of the newest snapshot seen", gateway.seen_sequence)
        yield _gauge("served_sequence", "Number of the newest snapshot served completely", gateway.table.sequence)
        yield from _gateway_counters(totals.get(GATEWAY, {}))
        yield from worker_families(status.workers)
        yield from rollout_families(status.reports)


def _requests(totals: _Totals) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "towpath_gateway_requests", "Answered requests", labels=["model", "version", "role", "code"]
    )
    latency = HistogramMetricFamily(
        "towpath_gateway_request_seconds", "From the first byte read to the answer given", labels=["model", "role"]
    )
    rows = CounterMetricFamily("towpath_gateway_rows", "Rows predicted", labels=["model"])
    failures = CounterMetricFamily("towpath_gateway_load_failures", "Versions that did not load", labels=["model"])
    for model, figures in sorted(totals.items()):
        rows.add_metric([model], figures.get("rows", 0))
        failures.add_metric([model], figures.get("load_failures", 0))
        for name, value in sorted(figures.items()):
            kind, *labels = name.split("|")
            if kind == "requests":
                requests.add_metric([model, *labels], value)
            elif kind == "seconds":
                role = labels[0]
                counts = accumulate(figures.get(f"bucket|{role}|{place}", 0.0) for place in range(len(_BOUNDS)))
                latency.add_metric([model, role], list(zip(_BOUNDS, counts, strict=True)), value)
    yield requests
    yield latency
    yield rows
    yield failures


def _models(gateway: Gateway) -> Metric:
    family = GaugeMetricFamily(
        "towpath_gateway_model_info",
        "1 for each version that is loaded, with what it does",
        labels=["model", "version", "digest", "role"],
    )
    for name, traffic in gateway.table.traffic.items():
        for number, model in sorted(traffic.versions.items()):
            roles = [role.value for role in Role if traffic.split.version(role) == number]
            family.add_metric([name, model.version, model.ref.digest, ",".join(roles)], 1)
    return family


def _gateway_counters(figures: Mapping[str, float]) -> Iterator[Metric]:
    yield _counter("swaps", "Snapshots taken over since the start", figures.get("swaps", 0))
    yield _counter(
        "snapshots_refused", "Snapshots refused: unreadable, or an older revision", figures.get("refused", 0)
    )
    if "log|written" not in figures:
        return
    rows = CounterMetricFamily(
        "towpath_gateway_log_rows", "Rows of the prediction log, by what became of them", labels=["outcome"]
    )
    for outcome in ("written", "limited", "dropped"):
        rows.add_metric([outcome], figures.get(f"log|{outcome}", 0))
    yield rows
    yield _counter("log_files", "Files of the prediction log that were written", figures.get("log|files", 0))
    yield _counter("log_files_deleted", "Its files deleted for room, or left over", figures.get("log|deleted", 0))
    yield _counter("log_failures", "Its writes that failed and are tried again", figures.get("log|failures", 0))


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"towpath_gateway_{name}", text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"towpath_gateway_{name}", text, value=value)
