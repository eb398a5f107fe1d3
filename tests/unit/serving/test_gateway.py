"""Routes, limits and tokens of the application, without a socket."""

import asyncio
import re
import threading
from dataclasses import replace

import pytest

from components.errors import FaultError
from components.serving.model_table import Action, Route, make_table

TOKEN = "a-token-of-sufficient-length"
ONE_ROW = {"inputs": {"x": [1.5]}}


def everywhere(gateway):
    """Every path that the gateway knows, with its route."""
    return sorted(gateway.table.routes.items())


def test_health_needs_no_token_and_every_other_route_does(gateway, ask):
    served = gateway("sum", "mixed", token=TOKEN)
    routes = everywhere(served)
    assert len(routes) > 25
    open_paths = {path for path, _ in routes if ask(served, "GET", path).status != 401}
    assert open_paths == {"/v2/health/live", "/v2/health/ready", "/ping", "/health"}
    assert {f"/v1/models/{each}" for each in ("sum", "sum/metadata", "sum:predict")} < dict(routes).keys()
    assert {"/v1/models/sum/versions/3:predict", "/v1/models/sum/labels/stable:predict"} < dict(routes).keys()
    assert {"/v2/models/sum/versions/3/infer", "/models/sum/labels", "/release/status"} < dict(routes).keys()
    others = (
        "/nowhere",
        "/invocations?model=sum",
        "/release/sum",
        "/release/",
        "/release/health?model=sum&role=stable",
        "/v1/models/sum:classify",
    )
    for path in [*(path for path, _ in routes), *others]:
        for method in ("GET", "POST", "PUT", "HEAD", "OPTIONS", "BREW"):
            for given in ({}, {"authorization": f"Bearer {TOKEN}x"}, {"authorization": TOKEN}, {"authorization": ""}):
                if path not in open_paths:
                    answer = ask(served, method, path, **given)
                    assert (answer.status, "token" in answer.error) == (401, True), (method, path)
    assert ask(served, "GET", "/v2", authorization=f"Bearer {TOKEN}").status == 200


def test_no_token_is_asked_for_where_none_is_set(gateway, ask):
    assert ask(gateway("sum"), "GET", "/metrics").status == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "BREW", "GET", "POST"])
def test_another_method_is_refused_with_the_one_to_use(gateway, ask, method):
    served = gateway("sum", "mixed")
    for path, route in everywhere(served):
        fits = method == "POST" if route.takes_body else method in ("GET", "HEAD")
        answer = ask(served, method, path)
        assert (answer.status == 405) is not fits, path
        if not fits:
            assert answer.headers[b"allow"] == (b"POST" if route.takes_body else b"GET")


def test_an_unknown_path_is_answered_with_the_nearest(gateway, ask):
    answer = ask(gateway("sum"), "GET", "/v2/health/redy")
    assert (answer.status, "did you mean `/v2/health/ready`?" in answer.error) == (404, True)


def test_an_unknown_model_is_answered_with_those_there_are(gateway, ask):
    answer = ask(gateway("sum"), "POST", "/v2/models/sun/infer", ONE_ROW)
    assert (answer.status, "`sum version 3`" in answer.error) == (404, True)


def test_with_one_model_invocations_need_not_name_it(gateway, ask):
    assert ask(gateway("sum"), "POST", "/invocations", ONE_ROW).json["predictions"] == [{"prediction": 1.5}]


@pytest.mark.parametrize("target", ["/invocations?model=sum", "/models/sum/invocations"])
def test_with_several_models_invocations_name_theirs(gateway, ask, target):
    assert ask(gateway("sum", "mixed"), "POST", target, ONE_ROW).json["model_name"] == "sum"


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/invocations", 400),
        ("/invocations?model=", 400),
        ("/invocations?model=nobody", 400),
        ("/invocations?model=sum&model=mixed", 400),
        ("/models/nobody/invocations", 404),
        ("/models/../v2/invocations", 404),
    ],
)
def test_with_several_models_one_must_be_named_and_known(gateway, ask, target, status):
    answer = ask(gateway("sum", "mixed"), "POST", target, ONE_ROW)
    assert answer.status == status
    assert "sum" in answer.error


def test_a_model_without_a_version_is_unavailable_and_says_why(gateway, ask, served, only):
    found = gateway("sum")
    found.table = make_table(
        7, {"sum": only(served("sum"))}, {"mixed": "model mixed cannot be served: its bytes are gone"}
    )
    for method, path in (
        ("GET", "/v2/models/mixed"),
        ("GET", "/v2/models/mixed/ready"),
        ("POST", "/v2/models/mixed/infer"),
        ("POST", "/models/mixed/invocations"),
        ("GET", "/v1/models/mixed"),
        ("POST", "/v1/models/mixed:predict"),
        ("GET", "/v2/health/ready"),
    ):
        answer = ask(found, method, path)
        assert (answer.status, "bytes are gone" in answer.error) == (503, True), path
    assert ask(found, "POST", "/models/sum/invocations", ONE_ROW).status == 200
    assert ask(found, "GET", "/v2/health/live").status == 200


def test_a_gateway_without_models_is_alive_and_not_ready(gateway, ask):
    empty = gateway()
    assert ask(empty, "GET", "/v2/health/live").status == 200
    assert ask(empty, "GET", "/ping").status == 503
    assert ask(empty, "POST", "/invocations", ONE_ROW).status == 503


def test_a_body_beyond_the_limit_is_refused(gateway, ask):
    body = b'{"inputs": {"x": [' + b"1," * 600 + b"1]}}"
    assert len(body) > 1_000
    for announced in ({}, {"content_length": str(len(body))}):
        answer = ask(gateway("sum", body_bytes=1_000), "POST", "/invocations", body, **announced)
        assert (answer.status, answer.headers.get(b"connection")) == (413, b"close")
    at_limit = ask(gateway("sum", body_bytes=len(body)), "POST", "/invocations", body, content_type="application/json")
    assert at_limit.status == 200


def test_a_compressed_body_is_refused(gateway, ask):
    assert ask(gateway("sum"), "POST", "/invocations", ONE_ROW, content_encoding="gzip").status == 415


class Gate:
    """A runtime that answers once it is let through, or fails."""

    def __init__(self, inner, error=None):
        self.inner = inner
        self.error = error
        self.open = threading.Event()
        self.calls = 0

    def load(self, product):
        return self.inner.load(product)

    def predict(self, batch):
        self.calls += 1
        self.open.wait(5)
        if self.error is not None:
            raise self.error
        return self.inner.predict(batch)


@pytest.fixture
def gated(gateway, served, only):
    """A gateway whose one model, `sum`, waits behind a gate in a thread."""

    def make(error=None, **limits):
        made = gateway(**limits)
        model = served("sum")
        model.runtime = gate = Gate(model.runtime, error)
        model.inline_rows = 0
        made.table = make_table(1, {"sum": only(model)}, {})
        return made, gate

    return make


async def one_call(gateway):
    sent = []
    body = b'{"inputs": {"x": [1.5]}}'
    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/invocations", "query_string": b"", "headers": headers}

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    await gateway(scope, receive, send)
    return sent[0]["status"], sent[1]["body"]


def test_beyond_the_cap_requests_are_refused_at_once_and_served_again_later(gated):
    async def scenario():
        gateway, gate = gated(in_flight=3)
        waiting = [asyncio.create_task(one_call(gateway)) for _ in range(3)]
        while gateway.in_flight < 3:
            await asyncio.sleep(0.01)
        refused = await one_call(gateway)
        gate.open.set()
        served = await asyncio.gather(*waiting)
        return refused, served, await one_call(gateway), gateway.in_flight

    refused, served, later, left = asyncio.run(scenario())
    assert (refused[0], b"3 requests" in refused[1]) == (429, True)
    assert [status for status, _ in served] == [200, 200, 200]
    assert (later[0], left) == (200, 0)


def test_an_answer_that_takes_too_long_is_given_up(gated):
    gateway, gate = gated(time_s=0.1)
    status, body = asyncio.run(one_call(gateway))
    gate.open.set()
    assert (status, b"longer than 0.1 s" in body) == (503, True)
    assert gateway.in_flight == 0


def test_a_product_that_fails_is_a_fault_in_one_sentence(gated):
    gateway, gate = gated(error=FaultError("the graph failed; train again"))
    gate.open.set()
    assert asyncio.run(one_call(gateway)) == (500, b'{"error":"the graph failed; train again"}')


def test_an_unexpected_failure_shows_no_traceback(gated, caplog):
    gateway, gate = gated(error=RuntimeError("secret detail"))
    gate.open.set()
    status, body = asyncio.run(one_call(gateway))
    assert status == 500
    assert b"secret" not in body
    assert b"Traceback" not in body
    assert "secret detail" in caplog.text


def test_a_client_that_hangs_up_leaves_nothing_behind(gateway):
    served = gateway("sum")
    scope = {"type": "http", "method": "POST", "path": "/invocations", "query_string": b"", "headers": []}

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        raise AssertionError("nobody listens")

    asyncio.run(served(scope, receive, send))
    assert served.in_flight == 0


def test_metrics_count_what_happened(gateway, ask, served):
    found = gateway("sum")
    for _ in range(3):
        ask(found, "POST", "/invocations", ONE_ROW)
    ask(found, "POST", "/invocations", {"inputs": {"x": ["1"]}})
    ask(found, "GET", "/nowhere")
    found.stats["sum"] = found.table.models["sum"].stats
    text = ask(found, "GET", "/metrics").body.decode()
    samples = dict(re.findall(r"^(towpath_\S+) (\S+)$", text, re.MULTILINE))
    assert samples['towpath_gateway_requests_total{code="200",model="sum",role="stable",version="3"}'] == "3.0"
    assert samples['towpath_gateway_requests_total{code="400",model="sum",role="stable",version="3"}'] == "1.0"
    assert samples['towpath_gateway_requests_total{code="404",model="",role="",version=""}'] == "1.0"
    assert samples['towpath_gateway_request_seconds_count{model="sum",role="stable"}'] == "4.0"
    assert samples['towpath_gateway_request_seconds_bucket{le="+Inf",model="sum",role="stable"}'] == "4.0"
    assert samples['towpath_gateway_rows_total{model="sum"}'] == "3.0"
    digest = served("sum").ref.digest
    assert samples[f'towpath_gateway_model_info{{digest="{digest}",model="sum",role="stable",version="3"}}'] == "1.0"
    assert samples["towpath_gateway_served_sequence"] == "7.0"
    assert samples["towpath_gateway_in_flight"] == "0.0"


def test_a_slow_product_answers_in_a_thread_and_a_quick_one_on_the_loop(served):
    assert served("slow").inline_rows < 2
    assert served("sum").inline_rows >= 256


def test_a_draining_gateway_answers_and_sends_its_clients_away(gateway, ask):
    found = gateway("sum")
    found.draining = True
    answer = ask(found, "POST", "/invocations", ONE_ROW)
    assert (answer.status, answer.headers[b"connection"]) == (200, b"close")
    assert ask(found, "GET", "/v2/health/ready").status == 503
    assert ask(found, "GET", "/v2/health/live").status == 200


def test_routes_are_immutable():
    with pytest.raises(AttributeError):
        Route(Action.LIVE).action = Action.METRICS
    assert replace(Route(Action.INFER)).protocol is not None
