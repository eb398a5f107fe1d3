"""Prometheus scrapes one port and meets any of the workers: each tells what all of them did."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from components.types.release import TrafficSplit

pytestmark = pytest.mark.slow


def scrape(gateway):
    text = gateway.ask("GET", "/metrics")[1]
    return [each for family in text_string_to_metric_families(text) for each in family.samples]


def answered(gateway, **labels):
    """How many predictions were answered, by the worker that happens to be scraped."""
    return sum(
        each.value
        for each in scrape(gateway)
        if each.name == "towpath_gateway_requests_total" and {**each.labels, **labels} == each.labels
    )


def test_every_worker_tells_of_all_workers_and_of_the_rollout(running, sum_versions):
    versions = {number: sum_versions(number) for number in (7, 8)}
    running.route(TrafficSplit("sum", 5, stable=7, canary=8, weight=50), versions)
    running.start("--workers", "2")
    running.wait_for(lambda: running.is_at("sum", 5))
    for user in range(80):
        body = {"inputs": {"x": [1.0]}}
        assert running.ask("POST", "/invocations", body, x_user_id=f"user-{user}")[0] == 200
    running.wait_for(lambda: all(answered(running, model="sum", code="200") == 80 for _ in range(8)))
    canary = answered(running, model="sum", version="8", role="canary", code="200")
    stable = answered(running, model="sum", version="7", role="stable", code="200")
    assert canary + stable == 80
    assert 20 < canary < 60
    found = {(each.name, *sorted(each.labels.items())): each.value for each in scrape(running)}
    assert found["towpath_gateway_canary_weight", ("model", "sum"), ("version", "8")] == 50
    assert ("towpath_gateway_e_value", ("kind", "average"), ("model", "sum"), ("version", "8")) in found
    assert [found["towpath_gateway_served_rev", ("model", "sum"), ("worker", str(worker))] for worker in range(2)] == [
        5,
        5,
    ]
