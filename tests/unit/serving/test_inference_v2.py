"""The Open Inference Protocol: what is understood, and what is refused with which sentence."""

import json
import struct

import numpy as np
import pytest

from components.types.dataset import MISSING_STRING


def tensor(name, datatype, data, shape=None, **more):
    return {"name": name, "datatype": datatype, "shape": shape or [len(data)], "data": data, **more}


def mixed(**changes):
    inputs = {
        "age": tensor("age", "FP64", [40.0, None]),
        "visits": tensor("visits", "INT64", [2, 0]),
        "smoker": tensor("smoker", "BOOL", [True, False]),
        "city": tensor("city", "BYTES", ["Oslo", "Rome"]),
    }
    return {"inputs": [each for each in (inputs | changes).values() if each is not None]}


def answers(first=40 + 2_000 + 1e6 + 1e7, second=500.0):
    return [{"name": "prediction", "datatype": "FP64", "shape": [2], "data": [first, second]}]


INFER = "/v2/models/mixed/infer"


def test_an_infer_request_is_answered_with_model_version_and_id(gateway, ask):
    answer = ask(gateway("mixed"), "POST", INFER, {"id": "a-7", **mixed()})
    assert answer.status == 200, answer.body
    assert answer.json == {"model_name": "mixed", "model_version": "3", "id": "a-7", "outputs": answers()}


def test_the_pinned_version_may_be_named_and_no_other(gateway, ask):
    served = gateway("mixed")
    assert ask(served, "POST", "/v2/models/mixed/versions/3/infer", mixed()).status == 200
    other = ask(served, "POST", "/v2/models/mixed/versions/2/infer", mixed())
    assert (other.status, "`mixed version 3`" in other.error) == (404, True)


@pytest.mark.parametrize("datatype", ["FP32", "INT64", "INT32", "INT16", "INT8", "UINT8", "UINT16", "UINT32", "FP64"])
def test_a_number_may_come_in_any_type_that_becomes_float64_without_loss(gateway, ask, datatype):
    answer = ask(gateway("mixed"), "POST", INFER, mixed(age=tensor("age", datatype, [40, 41])))
    assert answer.json["outputs"] == answers(second=41.0), answer.body


def test_fp32_in_json_means_the_nearest_float32(gateway, ask):
    answer = ask(gateway("sum"), "POST", "/v2/models/sum/infer", {"inputs": [tensor("x", "FP32", [0.1])]})
    assert answer.json["outputs"][0]["data"] == [float(np.float32(0.1))]


def test_tensors_may_come_in_any_order(gateway, ask):
    body = {"inputs": mixed()["inputs"][::-1]}
    assert ask(gateway("mixed"), "POST", INFER, body).json["outputs"] == answers()


@pytest.mark.parametrize("data", [[1, 1, 1, 0, 0, 0, 0, 0], [[[1, 1], [1, 0]], [[0, 0], [0, 0]]]])
def test_an_image_may_be_flat_or_nested(gateway, ask, data):
    body = {"inputs": [tensor("image", "FP64", data, [2, 2, 2])]}
    outputs = {
        each["name"]: each for each in ask(gateway("image"), "POST", "/v2/models/image/infer", body).json["outputs"]
    }
    assert outputs["prediction"] == {"name": "prediction", "datatype": "INT64", "shape": [2], "data": [1, 0]}
    assert outputs["probabilities"]["data"] == [0.25, 0.75, 1.0, 0.0]
    assert (outputs["probabilities"]["datatype"], outputs["probabilities"]["shape"]) == ("FP32", [2, 2])


def test_only_the_outputs_that_are_asked_for_are_sent(gateway, ask):
    image = [tensor("image", "FP64", [1, 1, 1, 0], [1, 2, 2])]
    body = {"inputs": image, "outputs": [{"name": "probabilities"}]}
    answer = ask(gateway("image"), "POST", "/v2/models/image/infer", body)
    assert [each["name"] for each in answer.json["outputs"]] == ["probabilities"]


def binary(body, *parts):
    text = json.dumps(body).encode()
    return text + b"".join(parts), str(len(text))


def described(name, datatype, size, shape=(2,)):
    return {"name": name, "datatype": datatype, "shape": list(shape), "parameters": {"binary_data_size": size}}


def byte_strings(*texts):
    return b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in texts)


def test_binary_and_json_tensors_may_be_mixed_and_need_not_be_aligned(gateway, ask):
    cities = byte_strings("Oslo", MISSING_STRING)
    body = mixed(
        city=described("city", "BYTES", len(cities)),
        age=described("age", "FP64", 16),
        smoker=described("smoker", "BOOL", 2),
    )
    body["inputs"].sort(key=lambda each: each["name"] != "city")
    ages = np.array([40.0, np.nan]).tobytes()
    raw, length = binary(body, cities, ages, b"\x01\x00")
    answer = ask(gateway("mixed"), "POST", INFER, raw, inference_header_content_length=length)
    assert answer.json["outputs"] == answers(second=500 + 2e7), answer.body


def test_outputs_are_sent_as_binary_where_asked(gateway, ask):
    body = {"inputs": [described("image", "FP32", 16, (1, 2, 2))], "parameters": {"binary_data_output": True}}
    raw, length = binary(body, np.ones(4, np.float32).tobytes())
    answer = ask(gateway("image"), "POST", "/v2/models/image/infer", raw, inference_header_content_length=length)
    size = int(answer.headers[b"inference-header-content-length"])
    assert answer.headers[b"content-type"] == b"application/octet-stream"
    outputs = json.loads(answer.body[:size])["outputs"]
    assert [each["parameters"]["binary_data_size"] for each in outputs] == [8, 8]
    assert answer.body[size:] == np.array([1]).tobytes() + np.array([0, 1], np.float32).tobytes()


def test_strings_are_sent_as_binary_too(gateway, ask):
    inputs = [tensor(f"feature_{index}", "FP64", [0.5]) for index in range(30)]
    body = {"inputs": inputs, "outputs": [{"name": "prediction", "parameters": {"binary_data": True}}]}
    answer = ask(gateway("network"), "POST", "/v2/models/network/infer", body)
    size = int(answer.headers[b"inference-header-content-length"])
    assert answer.body[size:] in (byte_strings("benign"), byte_strings("malignant"))


REFUSED = [
    ({"inputs": 3}, "`inputs` must be a list of tensors"),
    ({}, "`inputs` must be a list of tensors"),
    ({"inputs": [3]}, "found 3 in it"),
    ({"inputs": []}, "input `age`, `visits`, `smoker`, `city` is missing"),
    ({**mixed(), "extra": 1}, "unknown key `extra`"),
    ({**mixed(), "id": 5}, "`id` must be a string, found 5"),
    ({**mixed(), "parameters": {"priority": 1}}, "`parameters` may hold `binary_data_output`"),
    ({**mixed(), "parameters": {"binary_data_output": 1}}, "`binary_data_output` must be true or false"),
    ({**mixed(), "outputs": {}}, "`outputs` must be a list"),
    ({**mixed(), "outputs": [{"name": "probabilities"}]}, "unknown output 'probabilities'; there are `prediction`"),
    ({**mixed(), "outputs": [{"name": "prediction"}] * 2}, "asked for twice"),
    (
        {**mixed(), "outputs": [{"name": "prediction", "parameters": {"classification": 2}}]},
        "`binary_data` and nothing else",
    ),
    ({**mixed(), "outputs": [{}]}, "must be an object with `name`"),
    (mixed(city=None), "input `city` is missing"),
    (mixed(more=tensor("agee", "FP64", [1, 2])), "unknown input 'agee' (did you mean `age`?)"),
    (mixed(more=tensor("age", "FP64", [1, 2])), "input `age` is given twice"),
    (mixed(age=tensor("age", "BYTES", ["1", "2"])), "datatype 'BYTES', expected FP64"),
    (mixed(age=tensor("age", "FP16", [1, 2])), "datatype 'FP16', expected FP64"),
    (mixed(age=tensor("age", 7, [1, 2])), "datatype 7, expected FP64"),
    (mixed(visits=tensor("visits", "FP64", [1, 2])), "datatype 'FP64', expected INT64"),
    (mixed(age=tensor("age", "FP64", [1, 2], [1])), "2 values, expected 1 for shape [1]"),
    (mixed(age=tensor("age", "FP64", [1])), "input `visits`: shape '[2]', expected [rows] with 1 rows"),
    (mixed(age=tensor("age", "FP64", [1, 2], [2, 1])), "expected [rows]"),
    (mixed(age=tensor("age", "FP64", [1, 2], [2.0])), "`shape` must be a list of integers"),
    (mixed(age=tensor("age", "FP64", [1], [True])), "`shape` must be a list of integers"),
    (mixed(age=tensor("age", "FP64", [1], [-1])), "no rows"),
    (mixed(age=tensor("age", "FP64", [], [0])), "no rows"),
    (mixed(age=tensor("age", "FP64", {"a": 1}, [2])), "expected a list as `data`, found an object"),
    (mixed(age=tensor("age", "FP64", [1, 2], scale=3)), "unknown key `scale`"),
    (mixed(age=tensor("age", "FP64", [1, 2], parameters={"a": 1})), "either `data`, or `parameters`"),
    (mixed(age=tensor("age", "FP64", [1, 2], parameters=[])), "either `data`, or `parameters`"),
    (mixed(age=tensor("age", "FP64", [1, True])), "row 1, column `age`: expected a number or null, found true"),
    (mixed(age=tensor("age", "FP64", [[1, 2]], [2])), "1 values, expected 2"),
    (mixed(age=tensor("age", "FP64", [[1], [2]], [2])), "row 0, column `age`: expected a number or null, found a list"),
    (mixed(age=tensor("age", "INT64", [1, 2.5])), "expected an integer of 64 bits, found 2.5"),
    (mixed(age=tensor("age", "INT64", [1, 2**60])), "beyond 2^53"),
    (mixed(age=tensor("age", "FP32", [1, 1e300])), "infinite"),
    (mixed(visits=tensor("visits", "INT64", [1, 2**63])), "expected an integer of 64 bits"),
    (mixed(smoker=tensor("smoker", "BOOL", [1, 0])), "expected true or false, found 1"),
    (mixed(city=tensor("city", "BYTES", ["a", 1])), "row 1, column `city`: expected a string or null, found 1"),
]


@pytest.mark.parametrize(("body", "sentence"), REFUSED, ids=[sentence[:50] for _, sentence in REFUSED])
def test_what_is_wrong_is_refused_in_one_sentence(gateway, ask, body, sentence):
    answer = ask(gateway("mixed"), "POST", INFER, body)
    assert answer.status == 400, answer.body
    assert sentence in answer.error
    assert "\n" not in answer.error


@pytest.mark.parametrize(
    ("shape", "data"),
    [([1.0], [1.0]), ([True], [1.0]), ([1], [True]), ([1], [None]), ([1], ["1"]), ([1, 1], [1.0]), ([1], [1.0, 2.0])],
)
def test_the_usual_way_is_as_strict_as_the_careful_one(gateway, ask, shape, data):
    inputs = [tensor(f"feature_{index}", "FP64", [0.5]) for index in range(30)]
    inputs[17] |= {"shape": shape, "data": data}
    answer = ask(gateway("network"), "POST", "/v2/models/network/infer", {"inputs": inputs})
    assert answer.status == 400
    assert "feature_17" in answer.error


@pytest.mark.parametrize(
    ("described_as", "parts", "sentence"),
    [
        (described("x", "FP64", 8), [b"1" * 8], "8 bytes of binary data, expected 16"),
        (described("x", "FP64", 16), [b"1" * 8], "`binary_data_size` is 16"),
        (described("x", "FP64", 8, (1,)), [b"1" * 16], "8 bytes of binary data belong to no input"),
        (described("x", "FP64", -8, (1,)), [b"1" * 8], "`binary_data_size` is -8"),
        (described("x", "FP64", True, (1,)), [b"1"], "`binary_data_size` is true"),
        (described("x", "FP64", 8, (1,)), [np.array([np.inf]).tobytes()], "infinite"),
        (described("x", "FP64", 8, (1,)), [np.array([np.nan]).tobytes()], "missing"),
        (described("x", "INT64", 8, (1,)), [np.array([-(2**63)]).tobytes()], "beyond 2^53"),
        ({**described("x", "FP64", 8, (1,)), "data": [1]}, [b"1" * 8], "either `data`, or"),
    ],
)
def test_malformed_binary_numbers_are_refused(gateway, ask, described_as, parts, sentence):
    raw, length = binary({"inputs": [described_as]}, *parts)
    answer = ask(gateway("sum"), "POST", "/v2/models/sum/infer", raw, inference_header_content_length=length)
    assert answer.status == 400, answer.body
    assert sentence in answer.error


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (byte_strings("a"), "1 BYTES elements, expected 2"),
        (byte_strings("a", "b", "c"), "3 BYTES elements, expected 2"),
        (byte_strings("a", "b") + b"\x01", "end in the middle of element 2"),
        (b"\xff\xff\xff\xff", "end in the middle of element 0"),
        (struct.pack("<I", 1) + b"\xff" + byte_strings("b"), "element 0 is not UTF-8"),
    ],
)
def test_malformed_binary_strings_are_refused(gateway, ask, raw, sentence):
    body, length = binary(mixed(city=described("city", "BYTES", len(raw))), raw)
    answer = ask(gateway("mixed"), "POST", INFER, body, inference_header_content_length=length)
    assert answer.status == 400
    assert sentence in answer.error


def test_a_binary_bool_is_zero_or_one(gateway, ask):
    body, length = binary(mixed(smoker=described("smoker", "BOOL", 2)), b"\x01\x02")
    answer = ask(gateway("mixed"), "POST", INFER, body, inference_header_content_length=length)
    assert "0 or 1" in answer.error


@pytest.mark.parametrize("length", ["-1", "1e3", "99999999", "9" * 5_000, "", "1_0"])
def test_a_json_length_that_cannot_be_is_refused(gateway, ask, length):
    answer = ask(gateway("mixed"), "POST", INFER, mixed(), inference_header_content_length=length)
    assert answer.status == 400


@pytest.mark.parametrize(
    "text",
    [
        b'{"inputs": [], "inputs": []}',
        b'{"inputs": [{"name": "x", "name": "x", "shape": [1], "datatype": "FP64", "data": [1]}]}',
    ],
)
def test_a_key_given_twice_is_refused(gateway, ask, text):
    answer = ask(gateway("sum"), "POST", "/v2/models/sum/infer", text)
    assert answer.status == 400


def test_metadata_names_types_shapes_classes_and_digest(gateway, ask, served):
    found = ask(gateway("image"), "GET", "/v2/models/image").json
    assert found["inputs"] == [{"name": "image", "datatype": "FP64", "shape": [-1, 2, 2]}]
    assert found["outputs"] == [
        {"name": "prediction", "datatype": "INT64", "shape": [-1]},
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]},
    ]
    assert found["versions"] == ["3"]
    assert found["parameters"] == {"digest": served("image").ref.digest, "classes": [0, 1]}
