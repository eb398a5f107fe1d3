"""The gateway's numbers as Prometheus text. Knows nothing of how they were counted; imported only when scraped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from components.serving.measurements import BUCKETS_S, Measurements

if TYPE_CHECKING:
    from components.serving.gateway import Gateway

CONTENT_TYPE = CONTENT_TYPE_LATEST.encode()
_BOUNDS = [*(f"{bound:g}" for bound in BUCKETS_S), "+Inf"]


def make_registry(gateway: Gateway) -> CollectorRegistry:
    """Return a registry that reads `gateway` whenever it is asked."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
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
        yield from _requests(gateway.stats.items())
        yield _loads(gateway.stats.items())
        yield _models(gateway)
        yield _gauge("in_flight", "Requests being read or computed now", gateway.in_flight)
        yield _gauge("ready", "1 when every model of the snapshot is served", float(gateway.is_ready))
        yield _gauge("snapshot_rev", "Revision of the newest snapshot seen", gateway.seen_rev)
        yield _gauge("served_rev", "Revision of the newest snapshot served completely", gateway.table.rev)
        yield _counter("swaps", "Snapshots taken over since the start", gateway.swaps)
        yield _counter("snapshots_refused", "Snapshots refused: unreadable, or an older revision", gateway.refused)


def _requests(stats: Iterable[tuple[str, Measurements]]) -> Iterator[Metric]:
    requests = CounterMetricFamily("towpath_gateway_requests", "Answered requests", labels=["model", "code"])
    latency = HistogramMetricFamily(
        "towpath_gateway_request_seconds", "From the first byte read to the answer given", labels=["model"]
    )
    rows = CounterMetricFamily("towpath_gateway_rows", "Rows predicted", labels=["model"])
    for model, each in stats:
        for code, count in sorted(each.by_code.items()):
            requests.add_metric([model, str(code)], count)
        buckets = list(zip(_BOUNDS, map(float, accumulate(each.by_bucket)), strict=True))
        latency.add_metric([model], buckets, each.seconds)
        rows.add_metric([model], each.rows)
    yield requests
    yield latency
    yield rows


def _loads(stats: Iterable[tuple[str, Measurements]]) -> Metric:
    family = CounterMetricFamily("towpath_gateway_load_failures", "Versions that did not load", labels=["model"])
    for model, each in stats:
        family.add_metric([model], each.load_failures)
    return family


def _models(gateway: Gateway) -> Metric:
    family = GaugeMetricFamily(
        "towpath_gateway_model_info", "1 for the version that is served", labels=["model", "version", "digest"]
    )
    for name, model in gateway.table.models.items():
        family.add_metric([name, model.version, model.ref.digest], 1)
    return family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"towpath_gateway_{name}", text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"towpath_gateway_{name}", text, value=value)
