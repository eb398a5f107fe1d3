"""What a rollout tells: labels by request, the log, status and health."""

import pytest

from tests.asking import call
from tests.canaries import OTHER, ask_as, run, until

pytestmark = pytest.mark.slow


class Log:
    """Notes what would be logged."""

    def __init__(self):
        self.rows = []

    def offer(self, model, role, rev, request_id, user, batch, outputs, seconds, status):
        prediction = None if outputs is None else outputs["prediction"].tolist()
        self.rows.append((model.version, role, rev, request_id, batch.rows, prediction, status))
        assert isinstance(user, int)
        assert seconds > 0


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
