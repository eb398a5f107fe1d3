"""A canary and a shadow in this process: who answers, who is counted, and what nobody may notice."""

import asyncio
import json
import threading
import time

import numpy as np
import pytest

from bench.products import sum_product
from components.errors import FaultError
from components.runtime.batch import InvalidOutputError
from components.serving.board import Board
from components.serving.gateway import Gateway
from components.serving.judging import LiveJudge
from components.serving.measurements import Measurements
from components.serving.model_table import make_table
from components.serving.options import Limits
from components.serving.served_model import load_served
from components.serving.split import key_of, takes_canary
from components.serving.traffic import Traffic
from components.types.release import JudgeSettings, ModelRef, PlacedModel, TrafficSplit
from tests.broken_products import renamed_product
from tests.unit.serving.conftest import call

STABLE, OTHER = 1, 2
BODY = {"inputs": {"x": [1.5]}}

pytestmark = pytest.mark.slow


class Broken:
    """A runtime that does something of its own before it answers, or instead; as a shadow, it is asked in a thread."""

    computes_elsewhere = True

    def __init__(self, inner, do):
        self.inner = inner
        self.do = do
        self.calls = 0

    def load(self, product):
        return self.inner.load(product)

    def predict(self, batch):
        self.calls += 1
        self.do()
        return self.inner.predict(batch)


def fail():
    raise FaultError("the graph failed")


def give_nonsense():
    raise InvalidOutputError("not a number")


def hang():
    time.sleep(30)


def surprise():
    raise RuntimeError("nobody thought of this")


@pytest.fixture(scope="session")
def sums(tmp_path_factory):
    root = tmp_path_factory.mktemp("sums")
    return {
        STABLE: sum_product(root / "1", 1000.0),
        OTHER: sum_product(root / "2", 2000.0),
        3: renamed_product(root / "3", 3000.0),
    }


@pytest.fixture
def rollout(sums, tmp_path):
    """Make a gateway whose model `sum` has version 1 stable and another version as canary or shadow."""

    def make(do=None, *, product=OTHER, log=None, settings=None, **split):
        versions = {}
        for number, source in ((STABLE, sums[STABLE]), (OTHER, sums[product])):
            placed = PlacedModel(ModelRef("sum", number, source.digest), source.directory, source.runtime)
            versions[number] = load_served(placed, Measurements())
        if do is not None:
            versions[OTHER].runtime = Broken(versions[OTHER].runtime, do)
        board = Board(tmp_path / "board")
        made = TrafficSplit("sum", 7, stable=STABLE, **split)
        settings = settings or JudgeSettings(time_limit_s=0.2)
        judge = LiveJudge(board, made, settings)
        gateway = Gateway(Limits(), board=board, predictions=log)
        gateway.judges["sum"] = judge
        tell = (lambda asked, attempt: gateway.log_attempt(asked, attempt, 7)) if log is not None else None
        gateway.table = make_table(1, {"sum": Traffic(made, versions, judge, settings, tell)}, {})
        return gateway

    return make


def users(weight, wanted, version=OTHER):
    """Return user names of which all are, or none is, among the canary's `weight` percent."""
    names = (f"user-{number}" for number in range(100_000))
    return (name for name in names if takes_canary(key_of(name.encode()), "sum", version, weight) is wanted)


def ask_as(gateway, user, path="/invocations", body=BODY, **headers):
    return call(gateway, "POST", path, body, x_user_id=user, **headers)


async def stable_answers(gateway, count):
    for name, _ in zip(users(50, False), range(count), strict=False):
        assert (await ask_as(gateway, name)).status == 200


def run(scenario):
    return asyncio.run(scenario)


def counted(gateway, arm):
    """What the judge knows of an arm: requests and bad events."""
    report = gateway.judges["sum"].report()
    found = getattr(report, arm)
    return found.requests, happened(found.bad)


def happened(bad):
    """What of a report's bad events is not 0."""
    return {kind: count for kind, count in bad.items() if count}


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
    gateway = rollout(lambda: gate.wait(20), canary=OTHER, weight=50)

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
    assert seconds < 1.5
    assert quick[15] < 0.05
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
    gateway = rollout(lambda: gate.wait(20), canary=OTHER, weight=0)
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
    assert seconds < 0.5
    assert (pinned.status, "longer than 1 s" in pinned.error) == (503, True)


async def answers_to(gateway, count=40, mirror_s=0.0):
    found = []
    for number in range(count):
        body = BODY if number % 5 else {"inputs": {"x": ["one"]}}
        answer = await ask_as(gateway, f"user-{number}", body=body, x_request_id=f"r{number}")
        found.append((answer.status, answer.headers, answer.body))
    await until(lambda: mirrored(gateway) == sum(number % 5 != 0 for number in range(count)), mirror_s)
    return found


async def until(condition, time_s=10.0):
    """Wait for something that happens on the event loop, though not for ever."""
    end = time.monotonic() + time_s
    while not condition() and time.monotonic() < end:
        await asyncio.sleep(0.02)


def mirrored(gateway):
    shadow = gateway.judges["sum"].report().shadow
    return 0 if shadow is None else shadow.mirrored


@pytest.mark.parametrize("do", [None, fail, give_nonsense, surprise, hang])
def test_a_shadow_changes_no_byte_of_any_answer(rollout, do):
    alone = run(answers_to(rollout()))
    gateway = rollout(do, shadow=OTHER)
    assert run(answers_to(gateway, mirror_s=0.4 if do is hang else 20.0)) == alone
    shadow = gateway.judges["sum"].report().shadow
    assert shadow.mirrored <= 32
    if do is None:
        assert (shadow.mirrored, shadow.differing, shadow.dropped) == (32, 32, 0)
    if do is fail:
        assert happened(shadow.bad) == {"server_error": 32}


def test_a_shadow_of_another_signature_is_asked_in_its_own_words(rollout):
    gateway = rollout(product=3, shadow=OTHER)
    run(answers_to(gateway, 10, mirror_s=20.0))
    assert happened(gateway.judges["sum"].report().shadow.bad) == {"server_error": 8}


def test_the_shadows_queue_is_bounded_and_what_does_not_fit_is_counted(rollout, monkeypatch):
    monkeypatch.setattr("components.serving.mirroring.thread_lane.WAITING", 5)
    gate = threading.Event()
    gateway = rollout(lambda: gate.wait(20), shadow=OTHER)

    async def scenario():
        for number in range(50):
            assert (await ask_as(gateway, f"user-{number}")).status == 200
        dropped = gateway.judges["sum"].report().shadow.dropped
        gate.set()
        await asyncio.sleep(0.3)
        return dropped

    assert run(scenario()) in (44, 45)
    assert gateway.judges["sum"].report().shadow.mirrored in (5, 6)


def test_a_label_reaches_the_judge_by_the_request_id_of_the_answer(rollout):
    gateway = rollout(canary=OTHER, weight=50)

    async def scenario():
        made = await ask_as(gateway, "ann")
        given = await ask_as(gateway, "bob", x_request_id="order-7")
        assert given.headers[b"x-request-id"] == b"order-7"
        identity = made.headers[b"x-request-id"].decode()
        labels = [{"id": identity, "label": 1.0}, {"id": "order-7", "label": 2}, {"id": "unheard", "label": 3}]
        return await call(gateway, "POST", "/models/sum/labels", labels)

    answer = run(scenario())
    assert (answer.status, answer.json) == (200, {"joined": 2, "unknown": 1})
    report = gateway.judges["sum"].report()
    assert report.stable.labelled + report.canary.labelled == 2


@pytest.mark.parametrize("given", ["", " ", "a b", "ü", "x" * 129])
def test_a_request_id_that_cannot_be_echoed_is_replaced(rollout, given):
    async def scenario():
        return [await ask_as(gateway, "ann", x_request_id=given) for _ in range(2)]

    gateway = rollout()
    ids = [answer.headers[b"x-request-id"] for answer in run(scenario())]
    assert ids[0] != ids[1]
    assert all(0 < len(each) < 40 and each != given.encode() for each in ids)


class Log:
    """Notes what would be logged."""

    def __init__(self):
        self.rows = []

    def offer(self, model, role, rev, request_id, user, batch, outputs, seconds, status):
        prediction = None if outputs is None else outputs["prediction"].tolist()
        self.rows.append((model.version, role, rev, request_id, batch.rows, prediction, status))
        assert isinstance(user, int)
        assert seconds > 0


def test_the_log_hears_of_who_answered_of_a_shadow_and_of_no_bad_request(rollout):
    log = Log()
    gateway = rollout(shadow=OTHER, log=log)

    async def scenario():
        await ask_as(gateway, "ann", x_request_id="r1")
        await ask_as(gateway, "ann", x_request_id="r2", body={"inputs": {"x": ["one"]}})
        await until(lambda: len(log.rows) > 1)

    run(scenario())
    assert log.rows == [
        ("1", "stable", 7, "r1", 1, [1001.5], 200),
        ("2", "shadow", 7, "r1", 1, [2001.5], 200),
    ]


def test_status_and_health_answer_what_the_judge_knows(rollout, ask):
    gateway = rollout(canary=OTHER, weight=50)

    async def scenario():
        for number in range(20):
            await ask_as(gateway, f"user-{number}")

    run(scenario())
    status = ask(gateway, "GET", "/release/status").json
    assert status["reports"]["sum"]["rev"] == 7
    assert status["reports"]["sum"]["stable"]["requests"] + status["reports"]["sum"]["canary"]["requests"] == 20
    health = ask(gateway, "GET", "/release/health?model=sum&role=canary&window_s=60").json
    assert (health["role"], health["version"]) == ("canary", OTHER)
    assert health["requests"] == status["reports"]["sum"]["canary"]["requests"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("?model=sum", 400),
        ("?model=sum&role=king", 400),
        ("?model=sum&role=stable&window_s=0", 400),
        ("?model=sum&role=stable&window_s=nan", 400),
        ("?model=sum&role=stable&window_s=x", 400),
        ("?model=sum&role=stable&other=1", 400),
        ("?model=nobody&role=stable", 404),
    ],
)
def test_a_question_about_health_that_is_none_is_refused(rollout, ask, query, status):
    answer = ask(rollout(canary=OTHER, weight=5), "GET", f"/release/health{query}")
    assert (answer.status, list(answer.json)) == (status, ["error"])


def test_a_stopped_shadow_is_asked_no_more(rollout):
    gateway = rollout(shadow=OTHER)
    gateway.judges["sum"]._rollout.stops.kill()
    run(answers_to(gateway, 10, mirror_s=0.4))
    assert mirrored(gateway) == 0


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
