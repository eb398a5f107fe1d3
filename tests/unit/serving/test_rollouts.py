"""A canary and a shadow in this process: who answers, who is counted, and what nobody may notice."""

import asyncio
import json
import threading
import time

import numpy as np
import pytest

from components.serving.measurements import Measurements
from components.serving.options import Limits
from components.serving.served_model import load_served
from components.serving.split import key_of, takes_canary
from components.types.release import JudgeSettings, ModelRef, PlacedModel
from tests.canaries import OTHER, STABLE, Broken, ask_as, fail, give_nonsense, happened, run, surprise

pytestmark = pytest.mark.slow


def users(weight, wanted, version=OTHER):
    """Return user names of which all are, or none is, among the canary's `weight` percent."""
    names = (f"user-{number}" for number in range(100_000))
    return (name for name in names if takes_canary(key_of(name.encode()), "sum", version, weight) is wanted)


async def stable_answers(gateway, count):
    for name, _ in zip(users(50, False), range(count), strict=False):
        assert (await ask_as(gateway, name)).status == 200


def counted(gateway, arm):
    """What the judge knows of an arm: requests and bad events."""
    report = gateway.judges["sum"].report()
    found = getattr(report, arm)
    return found.requests, happened(found.bad)


def test_each_user_meets_one_version_and_as_many_as_the_weight_meet_the_canary(rollout):
    gateway = rollout(canary=OTHER, weight=25)

    async def scenario():
        met = {}
        for name in [f"user-{number}" for number in range(200)] * 2:
            answer = await ask_as(gateway, name)
            version = answer.headers[b"x-model-version"].decode()
            assert answer.json["predictions"] == [{"prediction": 1.5 + 1000 * int(version)}]
            assert answer.json["model_version"] == version
            assert met.setdefault(name, version) == version
        return list(met.values())

    met = run(scenario())
    assert met == ["2" if takes_canary(key_of(b"user-%d" % n), "sum", OTHER, 25) else "1" for n in range(200)]
    assert {"1", "2"} == set(met)
    assert counted(gateway, "stable")[0] + counted(gateway, "canary")[0] == 400


@pytest.mark.parametrize(
    ("do", "kind"), [(fail, "server_error"), (give_nonsense, "invalid_output"), (surprise, "server_error")]
)
def test_a_canary_that_fails_is_answered_for_and_out_after_three(rollout, do, kind):
    gateway = rollout(do, canary=OTHER, weight=50)
    canary = gateway.table.traffic["sum"].canary

    async def scenario():
        await stable_answers(gateway, 40)
        for name, _ in zip(users(50, True), range(20), strict=False):
            answer = await ask_as(gateway, name)
            assert (answer.status, answer.json["predictions"]) == (200, [{"prediction": 1001.5}])
            assert answer.headers[b"x-model-version"] == b"1"

    run(scenario())
    assert canary.runtime.calls == 3
    report = gateway.judges["sum"].report()
    assert (report.weight, bool(report.breaker)) == (0, True)
    assert counted(gateway, "canary") == (3, {kind: 3})
    assert counted(gateway, "stable") == (57, {})


def test_a_canary_that_hangs_costs_its_users_the_time_limit_and_others_nothing(rollout):
    gate = threading.Event()
    gateway = rollout(lambda: gate.wait(60), canary=OTHER, weight=50, settings=JudgeSettings(time_limit_s=0.5))

    async def scenario():
        await stable_answers(gateway, 40)
        hanging = [
            asyncio.create_task(ask_as(gateway, name)) for name, _ in zip(users(50, True), range(8), strict=False)
        ]
        await asyncio.sleep(0.02)
        quick = []
        for name, _ in zip(users(50, False), range(30), strict=False):
            started = time.perf_counter()
            answer = await ask_as(gateway, name)
            quick.append(time.perf_counter() - started)
            assert answer.status == 200
        started = time.perf_counter()
        answers = await asyncio.gather(*hanging)
        return answers, time.perf_counter() - started, sorted(quick)

    answers, seconds, quick = run(scenario())
    gate.set()
    assert [answer.json["predictions"] for answer in answers] == [[{"prediction": 1001.5}]] * 8
    assert seconds < 30, "they waited for the canary"
    assert quick[15] < 0.5, "others waited for the canary"
    assert gateway.judges["sum"].weight == 0
    assert counted(gateway, "canary") == (8, {"timeout": 8})


def test_a_canary_that_does_not_keep_up_is_answered_for_at_once(rollout, monkeypatch):
    monkeypatch.setattr("components.serving.traffic.CANARY_WAITING", 2)
    gate = threading.Event()
    gateway = rollout(
        lambda: gate.wait(20),
        canary=OTHER,
        weight=50,
        settings=JudgeSettings(time_limit_s=5.0, breaker_failures=99, threshold=1e9),
    )

    async def scenario():
        names = [name for name, _ in zip(users(50, True), range(30), strict=False)]
        asked = [asyncio.create_task(ask_as(gateway, name)) for name in names]
        await asyncio.sleep(0.3)
        at_once = sum(each.done() for each in asked)
        gate.set()
        return at_once, await asyncio.gather(*asked)

    at_once, answers = run(scenario())
    assert {answer.status for answer in answers} == {200}
    assert 10 <= at_once < 30
    versions = [answer.headers[b"x-model-version"] for answer in answers]
    assert versions.count(b"1") == at_once
    assert counted(gateway, "canary")[1] == {"timeout": at_once}


def test_a_body_that_the_canary_refuses_and_stable_accepts_is_a_broken_contract(rollout):
    gateway = rollout(product=3, canary=OTHER, weight=50)

    async def scenario():
        names = users(50, True)
        broken = [await ask_as(gateway, next(names)) for _ in range(2)]
        new_shape = await ask_as(gateway, next(names), body={"inputs": {"y": [1.5]}})
        bad = await ask_as(gateway, next(names), body={"inputs": {"z": [1.5]}})
        return broken, new_shape, bad

    broken, new_shape, bad = run(scenario())
    assert [answer.json["predictions"] for answer in broken] == [[{"prediction": 1001.5}]] * 2
    assert new_shape.json["predictions"] == [{"prediction": 3001.5}]
    assert bad.status == 400
    assert counted(gateway, "canary") == (3, {"server_error": 2})


def test_a_bad_request_says_nothing_about_either_version(rollout):
    gateway = rollout(canary=OTHER, weight=50)

    async def scenario():
        for wanted in (True, False):
            answer = await ask_as(gateway, next(users(50, wanted)), body={"inputs": {"x": ["one"]}})
            assert answer.status == 400
            answer = await ask_as(gateway, next(users(50, wanted)), body=b"{", content_type="application/json")
            assert answer.status == 400

    run(scenario())
    assert (counted(gateway, "stable")[0], counted(gateway, "canary")[0]) == (0, 0)


def test_a_failing_stable_version_is_counted_as_such(rollout):
    gateway = rollout(canary=OTHER, weight=50)
    gateway.table.traffic["sum"].stable.runtime = Broken(gateway.table.traffic["sum"].stable.runtime, fail)

    async def scenario():
        return await ask_as(gateway, next(users(50, False)))

    assert run(scenario()).status == 500
    assert counted(gateway, "stable") == (1, {"server_error": 1})


@pytest.mark.parametrize("path", ["/v2/models/sum/versions/2/infer", "/v2/models/sum/versions/1/infer"])
def test_a_request_that_names_its_version_is_answered_by_it_and_not_judged(rollout, path):
    gateway = rollout(canary=OTHER, weight=50)
    body = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.5]}]}

    async def scenario():
        return [await ask_as(gateway, name, path, body) for name, _ in zip(users(50, True), range(5), strict=False)]

    version = path.split("/")[5]
    for answer in run(scenario()):
        assert answer.json["model_version"] == version
        assert answer.json["outputs"][0]["data"] == [1.5 + 1000 * int(version)]
    assert (counted(gateway, "stable")[0], counted(gateway, "canary")[0]) == (0, 0)


def test_a_pinned_version_that_hangs_blocks_nobody(rollout):
    gate = threading.Event()
    gateway = rollout(lambda: gate.wait(60), canary=OTHER, weight=0)
    gateway.limits = Limits(time_s=1.0)
    body = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.5]}]}

    async def scenario():
        pinned = asyncio.create_task(ask_as(gateway, "u", "/v2/models/sum/versions/2/infer", body))
        await asyncio.sleep(0.02)
        started = time.perf_counter()
        assert (await ask_as(gateway, "u")).status == 200
        return time.perf_counter() - started, await pinned

    seconds, pinned = run(scenario())
    gate.set()
    assert seconds < 1.0
    assert (pinned.status, "longer than 1 s" in pinned.error) == (503, True)


def test_a_prediction_is_the_same_with_and_without_a_stop(sums):
    source = sums[STABLE]
    model = load_served(
        PlacedModel(ModelRef("sum", 1, source.digest), source.directory, source.runtime), Measurements()
    )
    batch = model.plan.from_columns([[1.0, 2.0]])
    np.testing.assert_array_equal(
        model.predict(batch)["prediction"], model.predict(batch, model.make_stop())["prediction"]
    )
    assert json.dumps(model.version) == '"1"'
