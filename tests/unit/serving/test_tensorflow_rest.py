"""TensorFlow Serving's REST API: what is understood and told, and what is refused with which sentence."""

import base64
import json

import numpy as np
import pytest

from components.serving.model_table import make_table
from components.serving.traffic import Traffic
from components.types.dataset import MISSING_STRING
from components.types.release import ModelRef, TrafficSplit

MIXED = {"age": 40, "visits": 2, "smoker": True, "city": "Oslo"}
OTHER = {"age": 41.5, "visits": 0, "smoker": False, "city": "Rome"}
EXPECTED = [40 + 2_000 + 1e6 + 1e7, 41.5]
PREDICT = "/v1/models/mixed:predict"
IMAGES = [[[1, 1], [1, 0]], [[0, 0], [0, 0]]]


def b64(text):
    return {"b64": base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()}


def columns(*rows):
    return {name: [row[name] for row in rows] for name in MIXED}


@pytest.mark.parametrize("signature", [{}, {"signature_name": "serving_default"}, {"signature_name": ""}])
def test_rows_are_answered_with_predictions_and_columns_with_outputs(gateway, ask, signature):
    served = gateway("mixed")
    by_rows = ask(served, "POST", PREDICT, {"instances": [MIXED, OTHER], **signature})
    assert (by_rows.status, by_rows.json) == (200, {"predictions": EXPECTED})
    by_columns = ask(served, "POST", PREDICT, {**signature, "inputs": columns(MIXED, OTHER)})
    assert (by_columns.status, by_columns.json) == (200, {"outputs": EXPECTED})
    assert by_rows.headers[b"x-model-version"] == by_columns.headers[b"x-model-version"] == b"3"


def test_names_may_come_in_any_order(gateway, ask):
    served = gateway("mixed")
    rows = [dict(reversed(MIXED.items())), OTHER]
    assert ask(served, "POST", PREDICT, {"instances": rows}).json["predictions"] == EXPECTED
    turned = dict(reversed(columns(MIXED, OTHER).items()))
    assert ask(served, "POST", PREDICT, {"inputs": turned}).json["outputs"] == EXPECTED


def test_with_one_input_its_name_may_be_left_out(gateway, ask):
    served = gateway("sum")
    for body in ({"instances": [1.5, 2]}, {"instances": [{"x": 1.5}, {"x": 2}]}):
        assert ask(served, "POST", "/v1/models/sum:predict", body).json == {"predictions": [1.5, 2.0]}
    for body in ({"inputs": [1.5, 2]}, {"inputs": {"x": [1.5, 2]}}):
        assert ask(served, "POST", "/v1/models/sum:predict", body).json == {"outputs": [1.5, 2.0]}


def test_the_content_type_is_not_looked_at_as_curl_sends_a_forms(gateway, ask):
    body = b'{"instances": [1.5]}'
    for kind in ({}, {"content_type": "application/x-www-form-urlencoded"}):
        assert ask(gateway("sum"), "POST", "/v1/models/sum:predict", body, **kind).status == 200


@pytest.mark.parametrize("body", [{"instances": IMAGES}, {"instances": [{"image": each} for each in IMAGES]}])
def test_a_classifier_answers_rows_with_its_named_outputs(gateway, ask, body):
    assert ask(gateway("image"), "POST", "/v1/models/image:predict", body).json == {
        "predictions": [
            {"prediction": 1, "probabilities": [0.25, 0.75]},
            {"prediction": 0, "probabilities": [1.0, 0.0]},
        ]
    }


@pytest.mark.parametrize("body", [{"inputs": IMAGES}, {"inputs": {"image": IMAGES}}])
def test_a_classifier_answers_columns_with_its_named_outputs(gateway, ask, body):
    assert ask(gateway("image"), "POST", "/v1/models/image:predict", body).json == {
        "outputs": {"prediction": [1, 0], "probabilities": [[0.25, 0.75], [1.0, 0.0]]}
    }


def test_labels_that_are_texts_are_sent_as_texts(gateway, ask, served):
    row = {f"feature_{index}": 0.1 * index for index in range(30)}
    (answer,) = ask(gateway("network"), "POST", "/v1/models/network:predict", {"instances": [row]}).json["predictions"]
    assert answer["prediction"] == served("network").signature.classes[int(np.argmax(answer["probabilities"]))]


def test_null_is_missing_where_training_had_missing_values(gateway, ask):
    missing = {"age": None, "visits": 1, "smoker": False, "city": None}
    for body in ({"instances": [missing]}, {"inputs": columns(missing)}):
        assert list(ask(gateway("mixed"), "POST", PREDICT, body).json.values()) == [[500 + 1_000 + 2e7]]


def test_a_text_may_come_as_base64(gateway, ask):
    served = gateway("mixed")
    rows = [{**MIXED, "city": b64("Oslo")}, {**OTHER, "city": {"b64": b64("Oslo")["b64"].rstrip("=")}}, MIXED]
    expected = [EXPECTED[0], EXPECTED[1] + 1e7, EXPECTED[0]]
    assert ask(served, "POST", PREDICT, {"instances": rows}).json == {"predictions": expected}
    assert ask(served, "POST", PREDICT, {"inputs": columns(*rows)}).json == {"outputs": expected}


@pytest.mark.parametrize("path", ["/versions/3", "/labels/stable"])
def test_a_version_may_be_named_by_its_number_or_its_role(gateway, ask, path):
    served = gateway("sum")
    assert ask(served, "POST", f"/v1/models/sum{path}:predict", {"instances": [2]}).json == {"predictions": [2.0]}
    assert ask(served, "GET", f"/v1/models/sum{path}").json["model_version_status"][0]["version"] == "3"
    assert ask(served, "GET", f"/v1/models/sum{path}/metadata").json["model_spec"]["version"] == "3"


def test_the_canary_answers_by_its_label_while_stable_answers_the_rest(gateway, ask, served):
    versions = {3: served("sum", 3), 4: served("sum", 4)}
    found = gateway("sum")
    found.table = make_table(8, {"sum": Traffic(TrafficSplit("sum", 8, stable=3, canary=4, weight=0), versions)}, {})
    for path, version in (("", b"3"), ("/labels/stable", b"3"), ("/labels/canary", b"4"), ("/versions/4", b"4")):
        answer = ask(found, "POST", f"/v1/models/sum{path}:predict", {"instances": [2]})
        assert (answer.status, answer.headers[b"x-model-version"]) == (200, version), path
    assert ask(found, "POST", "/v1/models/sum/labels/shadow:predict", {"instances": [2]}).status == 404
    listed = ask(found, "GET", "/v1/models/sum").json["model_version_status"]
    assert [each["version"] for each in listed] == ["4", "3"]


def test_status_is_that_of_every_loaded_version(gateway, ask):
    assert ask(gateway("sum"), "GET", "/v1/models/sum").json == {
        "model_version_status": [
            {"version": "3", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        ]
    }


def test_metadata_tells_types_and_shapes_of_inputs_and_outputs(gateway, ask):
    served = gateway("mixed", "image")

    def told(model):
        content = ask(served, "GET", f"/v1/models/{model}/metadata").json
        assert content["model_spec"] == {"name": model, "signature_name": "", "version": "3"}
        signature = content["metadata"]["signature_def"]["signature_def"]["serving_default"]
        assert signature["method_name"] == "tensorflow/serving/predict"
        return [
            {name: (each["dtype"], *(d["size"] for d in each["tensor_shape"]["dim"])) for name, each in part.items()}
            for part in (signature["inputs"], signature["outputs"])
        ]

    assert told("mixed") == [
        {
            "age": ("DT_DOUBLE", "-1"),
            "visits": ("DT_INT64", "-1"),
            "smoker": ("DT_BOOL", "-1"),
            "city": ("DT_STRING", "-1"),
        },
        {"prediction": ("DT_DOUBLE", "-1")},
    ]
    assert told("image") == [
        {"image": ("DT_DOUBLE", "-1", "2", "2")},
        {"prediction": ("DT_INT64", "-1"), "probabilities": ("DT_FLOAT", "-1", "2")},
    ]


def test_what_is_not_served_says_why(gateway, ask, served):
    found = gateway("sum")
    first = served("mixed", 1)
    first.ref = ModelRef("mixed", 1, first.ref.digest)
    traffic = {**found.table.traffic, "mixed": Traffic(TrafficSplit("mixed", 1, stable=None), {1: first})}
    found.table = make_table(8, traffic, {"image": "model image cannot be served: its bytes are gone"})
    for method, path in (("GET", ""), ("GET", "/metadata"), ("POST", ":predict")):
        answer = ask(found, method, f"/v1/models/image{path}", {"instances": IMAGES} if method == "POST" else b"")
        assert (answer.status, "bytes are gone" in answer.error) == (503, True), path
    assert ask(found, "GET", "/v1/models/mixed").json["model_version_status"][0]["version"] == "1"
    for method, path in (("GET", "/metadata"), ("POST", ":predict")):
        answer = ask(found, method, f"/v1/models/mixed{path}", {"instances": [MIXED]} if method == "POST" else b"")
        assert (answer.status, "no stable version yet" in answer.error) == (503, True), path


@pytest.mark.parametrize("path", ["sun", "sum/versions/4", "sum/versions/x", "sum/labels/none", "sum:foo"])
@pytest.mark.parametrize(("method", "what"), [("POST", ":predict"), ("GET", ""), ("GET", "/metadata")])
def test_an_unknown_model_or_version_is_answered_with_those_there_are(gateway, ask, path, method, what):
    answer = ask(gateway("sum"), method, f"/v1/models/{path}{what}")
    assert (answer.status, "`sum version 3`" in answer.error) == (404, True)


@pytest.mark.parametrize("path", ["sum:classify", "sum:regress", "sum/versions/3:regress", "nobody:classify"])
def test_classify_and_regress_are_not_offered(gateway, ask, path):
    answer = ask(gateway("sum"), "POST", f"/v1/models/{path}", {"examples": [{"x": 1}]})
    assert (answer.status, "not offered; `:predict` takes" in answer.error) == (404, True)


WITHOUT_AGE = {name: value for name, value in MIXED.items() if name != "age"}
REFUSED = [
    ({}, "exactly one of `instances`, `inputs`, found none"),
    ({"instances": [MIXED], "inputs": columns(MIXED)}, "exactly one of"),
    ({"instances": [MIXED], "context": {}}, "unknown key `context`"),
    ({"instances": [MIXED], "signature_name": "predict"}, "no signature 'predict'; expected `serving_default`"),
    ({"instances": [MIXED], "signature_name": None}, "no signature null"),
    ({"instances": [MIXED], "signature_name": ["serving_default"]}, "no signature a list"),
    ({"instances": MIXED}, "`instances` must be a list with one element a row, found an object"),
    ({"instances": 3}, "`instances` must be a list"),
    ({"instances": []}, "no rows"),
    ({"instances": [1, 2]}, "must be objects that name the inputs, since there are 4"),
    ({"instances": [b64("x")]}, "must be objects that name the inputs"),
    ({"instances": [None]}, "must be objects that name the inputs"),
    ({"instances": [MIXED, 3]}, "row 1: expected an object, found 3"),
    ({"instances": [{}]}, "row 0: input `age`, `visits`, `smoker`, `city` is missing"),
    ({"instances": [MIXED, WITHOUT_AGE]}, "row 1: input `age` is missing"),
    ({"instances": [{**WITHOUT_AGE, "agee": 1}]}, "did you mean `age`?"),
    ({"instances": [{**MIXED, "age": "40"}]}, "row 0, column `age`: expected a number or null, found '40'"),
    ({"instances": [MIXED, {**MIXED, "age": [40]}]}, "row 1, column `age`: expected a number or null, found a list"),
    ({"instances": [{**MIXED, "age": True}]}, "expected a number or null, found true"),
    ({"instances": [{**MIXED, "visits": 2.0}]}, "expected an integer of 64 bits, found 2.0"),
    ({"instances": [{**MIXED, "visits": 2**63}]}, "expected an integer of 64 bits"),
    ({"instances": [{**MIXED, "visits": None}]}, "this column was complete when the model was trained"),
    ({"instances": [{**MIXED, "smoker": 1}]}, "expected true or false, found 1"),
    ({"instances": [{**MIXED, "smoker": b64("1")}]}, "expected true or false, found an object"),
    ({"instances": [{**MIXED, "city": {"b64": 1}}]}, "column `city`: expected a string or null, found an object"),
    ({"instances": [{**MIXED, "city": {"b64": "YQ==", "x": 1}}]}, "expected a string or null, found an object"),
    ({"instances": [{**MIXED, "city": {"b64": "Ł"}}]}, "row 0, column `city`: `b64` is not Base64"),
    ({"instances": [{**MIXED, "city": {"b64": "a"}}]}, "row 0, column `city`: `b64` is not Base64"),
    ({"instances": [{**MIXED, "city": {"b64": "YQ=\n="}}]}, "`b64` is not Base64"),
    ({"instances": [{**MIXED, "city": b64(b"\xff")}]}, "`b64` does not hold UTF-8"),
    ({"inputs": [1, 2]}, "must be an object that names the inputs"),
    ({"inputs": 3}, "must be an object that names the inputs"),
    ({"inputs": None}, "must be an object that names the inputs"),
    ({"inputs": {}}, "input `age`, `visits`, `smoker`, `city` is missing"),
    ({"inputs": MIXED}, "input `age`: expected a list with one value a row, found 40"),
    ({"inputs": {**columns(MIXED), "town": ["x"]}}, "unknown input `town`"),
    ({"inputs": {name: [] for name in MIXED}}, "no rows"),
    ({"inputs": {**columns(MIXED), "visits": [1, 2]}}, "input `visits` has 2 rows, expected 1"),
    ([MIXED], "not an object"),
]


@pytest.mark.parametrize(("body", "sentence"), REFUSED, ids=[sentence[:50] for _, sentence in REFUSED])
def test_what_is_wrong_is_refused_in_one_sentence(gateway, ask, body, sentence):
    answer = ask(gateway("mixed"), "POST", PREDICT, body)
    assert answer.status == 400, answer.body
    assert set(answer.json) == {"error"}
    assert sentence in answer.error
    assert "\n" not in answer.error


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"instances": [[[1, 1], [1]]]}, "shape [1, 2, 2], found a list of 1 at level 3"),
        ({"instances": [[1, 1, 1, 1]]}, "found a list of 4 at level 2"),
        ({"instances": [IMAGES]}, "row 0, column `image`: expected a number, found a list"),
        ({"instances": [[[1, 1], [1, None]]]}, "this column was complete when the model was trained"),
        ({"inputs": {"image": [[[1, 1], [1, "0"]]]}}, "row 0, column `image`: expected a number, found '0'"),
        ({"inputs": {"image": IMAGES[0]}}, "found something that is no list at level 3"),
        ({"inputs": 1}, "expected a list with one value a row, found 1"),
    ],
)
def test_a_tensor_of_another_shape_is_refused(gateway, ask, body, sentence):
    answer = ask(gateway("image"), "POST", "/v1/models/image:predict", body)
    assert (answer.status, sentence in answer.error) == (400, True), answer.body


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "empty"),
        (b"instances=1", "not JSON"),
        (b'{"instances": [NaN]}', "NaN or Infinity"),
        (b'{"instances": [-Infinity]}', "NaN or Infinity"),
        (b'{"instances": [1e999]}', "not JSON"),
        (b'{"instances": [1], "instances": [2]}', "key `instances` is given twice"),
        (b'{"instances": [{"x": 1, "x": 2}]}', "key `x` is given twice"),
        (b'{"inputs": {"x": [1], "x": [2]}}', "key `x` is given twice"),
        (b'{"instances": [1], "signature_name": "", "signature_name": ""}', "key `signature_name` is given twice"),
        (b'{"instances": ' + b"[" * 2_000 + b"]" * 2_000 + b"}", "nested deeper than 32"),
        (b'{"instances": [' + b"[" * 40 + b"]" * 40 + b"]}", "row 0, column `x`: expected a number"),
    ],
)
def test_malformed_json_is_refused(gateway, ask, text, sentence):
    answer = ask(gateway("sum"), "POST", "/v1/models/sum:predict", text)
    assert (answer.status, sentence in answer.error) == (400, True), answer.body


def test_a_key_that_is_given_twice_within_base64_is_refused(gateway, ask):
    text = json.dumps({"instances": [{**MIXED, "city": b64("Oslo")}]}).replace('{"b64":', '{"b64": "", "b64":')
    answer = ask(gateway("mixed"), "POST", PREDICT, text.encode())
    assert (answer.status, "key `b64` is given twice" in answer.error) == (400, True)


def test_a_colon_in_a_value_is_no_key(gateway, ask):
    body = {"instances": [{**MIXED, "city": "a:b"}, {**MIXED, "city": b64("Oslo")}]}
    assert ask(gateway("mixed"), "POST", PREDICT, body).status == 200


@pytest.mark.parametrize("city", [MISSING_STRING, b64(MISSING_STRING)])
def test_the_word_for_a_missing_text_is_refused_where_none_may_be_missing(gateway, ask, served, city):
    model = served("mixed")
    plan = model.plan
    plan.tensors = plan.leaves = tuple(leaf._replace(nullable=False) for leaf in plan.leaves)
    found = gateway()
    found.table = make_table(1, {"mixed": Traffic(TrafficSplit("mixed", 1, stable=3), {3: model})}, {})
    answer = ask(found, "POST", PREDICT, {"instances": [{**MIXED, "city": city}]})
    assert (answer.status, "column `city`" in answer.error) == (400, True)


@pytest.mark.parametrize("form", ["instances", "inputs"])
def test_more_rows_than_may_be_are_refused(gateway, ask, form):
    served = gateway("sum", rows=5)
    assert ask(served, "POST", "/v1/models/sum:predict", {form: [1] * 5}).status == 200
    answer = ask(served, "POST", "/v1/models/sum:predict", {form: [1] * 6})
    assert (answer.status, "more than 5 rows" in answer.error) == (413, True)


def test_answers_are_those_of_the_other_protocols(gateway, ask):
    served = gateway("network")
    rows = [{f"feature_{index}": 0.01 * index * row for index in range(30)} for row in range(20)]
    theirs = ask(served, "POST", "/invocations", {"dataframe_records": rows}).json["predictions"]
    assert ask(served, "POST", "/v1/models/network:predict", {"instances": rows}).json["predictions"] == theirs
