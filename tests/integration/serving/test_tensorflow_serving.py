"""TensorFlow Serving's REST API on a running gateway: as its users call it, and with a rollout going on behind it."""

from __future__ import annotations

import http.client
import json
import random
import urllib.request
from collections import Counter

import pytest

from components.types.release import JudgeSettings, TrafficSplit

pytestmark = pytest.mark.slow

ROW = {"age": 40, "visits": 2, "smoker": True, "city": "Oslo"}
EXPECTED = 40 + 2_000 + 1e6 + 1e7
PREDICT = "/v1/models/sum:predict"


def url(running, path):
    return f"http://127.0.0.1:{running.port}/v1/models/{path}"


def test_a_request_of_the_documentation_is_answered_whatever_its_content_type(everything):
    question = urllib.request.Request(url(everything, "sum:predict"), b'{"instances": [1.0, 2.0, 5.0]}')
    with urllib.request.urlopen(question, timeout=60) as response:  # sent as a form's, as curl -d does
        assert json.load(response) == {"predictions": [1.0, 2.0, 5.0]}


def test_a_colon_that_a_client_escapes_is_one(everything):
    question = urllib.request.Request(url(everything, "sum%3Apredict"), b'{"inputs": [1.0]}', method="POST")
    with urllib.request.urlopen(question, timeout=60) as response:
        assert json.load(response) == {"outputs": [1.0]}


def test_every_product_answers_its_own_metadata_with_a_row_of_it(everything):
    examples = {"DT_DOUBLE": 1.5, "DT_INT64": 3, "DT_BOOL": True, "DT_STRING": "Oslo"}
    for model in ("network", "sum", "mixed", "image"):
        status, told = everything.ask("GET", f"/v1/models/{model}/metadata")
        assert status == 200
        signature = told["metadata"]["signature_def"]["signature_def"]["serving_default"]
        row = {}
        for name, tensor in signature["inputs"].items():
            value = examples[tensor["dtype"]]
            for dimension in reversed(tensor["tensor_shape"]["dim"][1:]):
                value = [value] * int(dimension["size"])
            row[name] = value
        status, answer = everything.ask("POST", f"/v1/models/{model}/versions/3:predict", {"instances": [row]})
        assert status == 200, answer
        first = answer["predictions"][0]
        assert set(first if isinstance(first, dict) else {"prediction"}) == set(signature["outputs"])


def test_metadata_and_status_are_the_json_of_tensorflows_messages(everything):
    from google.protobuf import json_format
    from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

    told = everything.ask("GET", "/v1/models/image/metadata")[1]
    (signature,) = told["metadata"]["signature_def"]["signature_def"].values()
    read = json_format.ParseDict(signature, SignatureDef())
    assert [dimension.size for dimension in read.inputs["image"].tensor_shape.dim] == [-1, 2, 2]
    assert {name: each.dtype for name, each in read.outputs.items()} == {"prediction": 9, "probabilities": 1}


def test_thousands_of_damaged_requests_get_an_answer_and_none_a_fault(everything):
    draw = random.Random(7)
    good = [
        ("/v1/models/mixed:predict", {"instances": [ROW, {**ROW, "age": None, "city": {"b64": "T3Nsbw=="}}]}),
        ("/v1/models/mixed/versions/3:predict", {"inputs": {name: [each] for name, each in ROW.items()}}),
        ("/v1/models/image/labels/stable:predict", {"signature_name": "", "instances": [[[1, 0], [0, 1]]]}),
    ]
    pieces = [b"null", b"[", b"]", b"{", b"}", b":", b",", b'"b64"', b'"', b"NaN", b"1e999", b"-1", b"\xff", b"[[[[[["]
    connection = http.client.HTTPConnection("127.0.0.1", everything.port, timeout=60)
    seen = Counter()
    for _ in range(2_000):
        path, body = draw.choice(good)
        text = json.dumps(body).encode()
        for _ in range(draw.randint(0, 3)):
            start = draw.randrange(len(text))
            text = text[:start] + draw.choice(pieces) + text[start + draw.randint(0, 4) :]
        connection.request("POST", path, text)
        response = connection.getresponse()
        content = json.loads(response.read())
        assert response.status in (200, 400), (path, text, content)
        assert response.status == 200 or set(content) == {"error"}
        seen[response.status] += 1
    connection.close()
    assert min(seen[200], seen[400]) > 200
    assert everything.ask("POST", good[0][0], {"instances": [ROW]}) == (200, {"predictions": [EXPECTED]})


def test_a_canary_a_shadow_and_the_log_see_these_requests_as_any_other(running, sum_versions):
    versions = {number: sum_versions(number) for number in (1, 2, 3)}
    running.route(
        TrafficSplit("sum", 1, stable=1, canary=2, shadow=3, weight=50), versions, JudgeSettings(time_limit_s=5)
    )
    running.start("--log-dir", str(running.folder / "log-dir"))
    running.wait_for(lambda: running.is_at("sum", 1))
    answers = Counter()
    for _ in range(60):
        status, answer = running.ask("POST", PREDICT, {"instances": [1.0]})
        assert status == 200
        answers[answer["predictions"][0]] += 1
    assert set(answers) == {1001.0, 2001.0}
    for label, answer in (("stable", 1001.0), ("canary", 2001.0), ("shadow", 3001.0)):
        path = f"/v1/models/sum/labels/{label}:predict"
        assert running.ask("POST", path, {"inputs": {"x": [1.0]}}) == (200, {"outputs": [answer]})
    listed = running.ask("GET", "/v1/models/sum")[1]["model_version_status"]
    assert [each["version"] for each in listed] == ["3", "2", "1"]

    def report():
        return running.status()["reports"]["sum"]

    running.wait_for(lambda: report()["stable"]["requests"] + report()["canary"]["requests"] == 60, 10)
    assert report()["canary"]["requests"] == answers[2001.0]
    assert running.stop() == 0
    assert list((running.folder / "log-dir" / "sum").rglob("*.parquet"))


def test_the_token_is_asked_for_on_every_path(running, products):
    running.place(1, ("sum", 3, products["sum"]))
    running.start(TOWPATH_GATEWAY_TOKEN="a-token-of-sufficient-length")
    paths = ["sum", "sum/metadata", "sum/versions/3", "sum/labels/stable", "nobody", "sum:classify"]
    for path in paths:
        assert running.ask("GET", f"/v1/models/{path}")[0] == 401
    assert running.ask("POST", PREDICT, {"instances": [1]})[0] == 401
    given = {"Authorization": "Bearer a-token-of-sufficient-length"}
    assert running.ask("POST", PREDICT, {"instances": [1]}, **given) == (200, {"predictions": [1.0]})
