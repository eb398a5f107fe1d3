"""Canary, shadow, swap and rollback in a running gateway: what its clients get, and what nobody may notice."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import psutil
import pytest

from components.serving.split import key_of, takes_canary
from components.types.release import TrafficSplit
from tests.broken_products import BREAKS, hanging_product
from tests.integration.serving.conftest import FAST
from tests.serving_clients import is_right, version_of

pytestmark = pytest.mark.slow


def test_each_user_meets_one_version_and_the_canary_only_gains_users(routed):
    client = routed.client()
    names = [f"user-{number}" for number in range(400)]
    before: set[str] = set()
    for rev, weight in ((2, 5), (3, 25), (4, 50)):
        routed.move(rev, stable=1, canary=2, previous=None, weight=weight)
        met = {}
        for name in names + names[:100]:
            status, headers, content, _ = client.ask(1.0, name)
            assert status == 200
            assert is_right(1.0, headers, content)
            assert met.setdefault(name, version_of(headers)) == version_of(headers)
        canary = {name for name, version in met.items() if version == 2}
        assert canary == {name for name in names if takes_canary(key_of(name.encode()), "sum", 2, weight)}
        assert before < canary
        before = canary
        found = routed.report("sum")
        assert (found["rev"], found["weight"]) == (rev, weight)
        assert found["canary"]["users"] == len(canary)


@pytest.mark.parametrize("kind", BREAKS)
def test_a_broken_canary_costs_no_client_an_answer_and_is_out_within_five_requests(routed, tmp_path, kind):
    client = routed.client()
    canary = BREAKS[kind](tmp_path / "broken", 2000.0)

    def times(start, count):
        found = [client.ask(2.0, f"user-{number}") for number in range(start, start + count)]
        assert [status for status, *_ in found] == [200] * count
        assert all(is_right(2.0, headers, content) for _, headers, content, _ in found)
        stable = sorted(seconds for _, headers, _, seconds in found if version_of(headers) == 1)
        return found, stable

    _, alone = times(0, 400)
    routed.move(2, stable=1, canary=2, weight=5, products={2: canary})
    times(10_000, 60)  # the judge learns how fast stable is
    routed.wait_for(lambda: routed.report("sum")["stable"]["requests"] >= 50)
    time.sleep(0.6)
    # stable is slower than its own 95th percentile as well, one time in twenty: so slowness takes more
    _, beside = times(20_000, 1_500 if kind == "is slow" else 600)
    found = routed.report("sum")
    assert found["weight"] == 0
    assert found["breaker"] or found["alarm"]
    assert found["canary"]["requests"] <= 5 or kind == "is slow"
    assert sum(found["canary"]["bad"].values()) >= 2
    _, after = times(30_000, 200)
    assert routed.report("sum")["canary"]["requests"] == found["canary"]["requests"]
    # who had the canary waited for it if it hung; most of the stable version's own users did not
    assert sum(seconds > FAST.time_limit_s for seconds in beside) <= len(beside) // 20
    assert beside[len(beside) // 2] < max(3 * alone[len(alone) // 2], FAST.time_limit_s / 2)
    assert after[len(after) // 2] < FAST.time_limit_s / 2
    assert routed.process.poll() is None


def test_no_request_is_lost_or_torn_while_roles_change_hands(routed, under_load, sum_versions):
    last = 100 if "TOWPATH_FULL" in os.environ else 5
    products = {number: sum_versions(number) for number in range(4, last + 1)} | routed.versions
    askers = under_load(routed.port)
    rev = 1
    for stable in range(1, last):
        new = stable + 1
        for split in (
            {"stable": stable, "shadow": new},
            {"stable": stable, "canary": new, "weight": 25},
            {"stable": stable, "canary": new, "weight": 50},
            {"stable": new, "previous": stable},
        ):
            rev += 1
            routed.move(rev, products=products, **split)
    assert set().union(*(asker.versions for asker in askers)) == set(range(1, last + 1))


def test_a_rollback_under_load_is_one_assignment_and_loads_nothing(routed, under_load):
    routed.move(2, stable=2, previous=1)
    under_load(routed.port)
    time.sleep(0.3)
    loads = routed.log().count("is loaded")
    for rev in range(3, 9):
        stable, previous = (1, 2) if rev % 2 else (2, 1)
        started = time.monotonic()
        routed.move(rev, stable=stable, previous=previous)
        assert time.monotonic() - started < 3
    assert routed.log().count("is loaded") == loads


def test_a_rollback_does_not_wait_for_a_version_that_is_still_loading(routed, tmp_path):
    """A version whose warm-up takes for ever, and another one beside it."""
    routed.move(2, stable=2, previous=1)
    stuck = hanging_product(tmp_path / "stuck", above=-1.0)
    split = TrafficSplit("sum", 2, stable=2, previous=1)
    routed.route(split, {1: routed.versions[1], 2: routed.versions[2], 3: stuck}, FAST)
    time.sleep(0.5)
    assert 3 not in routed.status()["workers"][0]["loaded"]["sum"]
    started = time.monotonic()
    routed.move(3, stable=1, previous=2)
    assert time.monotonic() - started < 3
    assert routed.stop() == 0


def test_a_slot_that_moved_on_turns_older_revisions_away(routed):
    client = routed.client()
    routed.move(5, stable=1, canary=2, weight=50)
    for split, words in (
        (TrafficSplit("sum", 4, stable=3), "older than 5"),
        (TrafficSplit("sum", 5, stable=3), "another split without a new revision"),
    ):
        routed.route(split, {3: routed.versions[3]})
        routed.wait_for(lambda expected=words: expected in routed.status()["workers"][0]["problems"].get("sum", ""))
        assert routed.status()["workers"][0]["revs"] == {"sum": 5}
        assert {version_of(client.ask(1.0, f"user-{n}")[1]) for n in range(40)} == {1, 2}
    routed.move(6, stable=3)
    assert routed.status()["workers"][0]["problems"] == {}
    assert version_of(client.ask(1.0, "ann")[1]) == 3


@pytest.mark.parametrize("harm", ["deleted", "empty", "cut", "noise"])
def test_a_canary_goes_on_without_its_snapshot(routed, harm):
    client = routed.client()
    routed.move(2, stable=1, canary=2, weight=50)
    text = routed.snapshot.read_bytes()
    if harm == "deleted":
        routed.snapshot.unlink()
    else:
        routed.snapshot.write_bytes({"empty": b"", "cut": text[: len(text) // 2], "noise": b"\x00\xff" * 99}[harm])
    routed.wait_for(lambda: "is gone" in routed.log() or "is not a router snapshot" in routed.log())
    assert {version_of(client.ask(1.0, f"user-{n}")[1]) for n in range(40)} == {1, 2}
    routed.move(3, stable=2, previous=1)
    assert version_of(client.ask(1.0, "ann")[1]) == 2


def test_a_version_is_prepared_asked_by_name_and_let_go_of(routed):
    split = TrafficSplit("sum", 1, stable=1)
    pinned = "/v2/models/sum/versions/2/infer"
    body = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}]}
    assert routed.ask("POST", pinned, body)[0] == 404
    routed.route(split, {1: routed.versions[1], 2: routed.versions[2]})
    routed.wait_for(lambda: routed.status()["workers"][0]["loaded"]["sum"] == [1, 2])
    status, answer = routed.ask("POST", pinned, body)
    assert (status, answer["model_version"], answer["outputs"][0]["data"]) == (200, "2", [2001.0])
    assert routed.ask("GET", "/v2/models/sum")[1]["versions"] == ["1", "2"]
    assert version_of(routed.client().ask(1.0, "ann")[1]) == 1
    assert routed.report("sum")["stable"]["requests"] == 1
    routed.route(split, {1: routed.versions[1]})
    routed.wait_for(lambda: routed.status()["workers"][0]["loaded"]["sum"] == [1])
    assert routed.ask("POST", pinned, body)[0] == 404


def test_a_version_whose_bytes_are_others_is_reported_and_moves_no_traffic(routed):
    other = replace(routed.versions[2], digest="0" * 64)
    routed.route(TrafficSplit("sum", 1, stable=1), {1: routed.versions[1], 2: other})
    routed.wait_for(lambda: "version 2 was not loaded" in routed.status()["workers"][0]["problems"].get("sum", ""))
    assert routed.is_at("sum", 1)
    routed.route(TrafficSplit("sum", 2, stable=2, previous=1), {1: routed.versions[1], 2: other})
    routed.wait_for(lambda: routed.metric("towpath_gateway_snapshot_sequence") == routed.sequence)
    time.sleep(0.5)
    assert routed.is_at("sum", 1)
    assert version_of(routed.client().ask(1.0, "ann")[1]) == 1
    assert routed.ask("GET", "/v2/health/ready")[0] == 200


def test_after_a_restart_a_canary_that_does_not_load_leaves_stable_alone(routed):
    routed.move(2, stable=1, canary=2, weight=50)
    routed.stop()
    other = replace(routed.versions[2], digest="0" * 64)
    routed.route(TrafficSplit("sum", 2, stable=1, canary=2, weight=50), {1: routed.versions[1], 2: other})
    routed.start()
    client = routed.client()
    assert {version_of(client.ask(1.0, f"user-{n}")[1]) for n in range(40)} == {1}
    worker = routed.status()["workers"][0]
    assert worker["revs"] == {}
    assert "version 2 was not loaded" in worker["problems"]["sum"]
    assert routed.ask("GET", "/v2/health/ready")[0] == 200


def test_labels_reach_the_judge_of_a_running_gateway(routed):
    client = routed.client()
    routed.move(2, stable=1, canary=2, weight=50)
    for number in range(30):
        client.ask(1.0, f"user-{number}", x_request_id=f"order-{number}")
    labels = [{"id": f"order-{number}", "label": 1001.0} for number in range(30)]
    status, answer = routed.ask("POST", "/models/sum/labels", [*labels, {"id": "nobody", "label": 1.0}])
    assert (status, answer) == (200, {"joined": 30, "unknown": 1})
    found = routed.report("sum")
    assert found["stable"]["labelled"] + found["canary"]["labelled"] == 30
    assert routed.ask("POST", "/models/sum/labels", {"id": "order-1", "label": "much"})[0] == 400


def test_unloading_gives_the_memory_back(running, tmp_path):

    from bench.products import network_product

    small, large = network_product(tmp_path / "small"), network_product(tmp_path / "large", hidden=150_000, seed=1)
    split = TrafficSplit("m", 1, stable=1)
    running.route(split, {1: small})
    running.start()
    process = psutil.Process(running.process.pid)
    before = process.memory_info().rss
    running.route(split, {1: small, 2: large})
    running.wait_for(lambda: running.status()["workers"][0]["loaded"]["m"] == [1, 2])
    loaded = process.memory_info().rss - before
    assert loaded > 15 * 2**20
    running.route(split, {1: small})
    running.wait_for(lambda: running.status()["workers"][0]["loaded"]["m"] == [1])
    running.wait_for(lambda: process.memory_info().rss - before < 0.5 * loaded)
