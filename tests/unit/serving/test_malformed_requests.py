"""Thousands of malformed requests, none of which may be a fault: bytes, JSON values and mutated good requests."""

import copy
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.types.dataset import MISSING_STRING

EXAMPLES = 8_500 if os.environ.get("TOWPATH_FULL") == "1" else 600
"""Each leads to six requests, over all tests: 51,000 at full volume."""
FUZZ = settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

WORDS = """inputs outputs id parameters name shape datatype data age visits smoker city image dataframe_split
dataframe_records instances columns index params binary_data_size x
b64 signature_name"""
NAMES = st.sampled_from([*WORDS.split(), ""])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["FP64", "INT64", "BOOL", "BYTES", "FP32", MISSING_STRING, "Oslo", 0, 1, 2, 2**63, 1e308, -0.0]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(NAMES, inner, max_size=5)),
    max_leaves=12,
)
ROW = {"age": 40, "visits": 2, "smoker": True, "city": "Oslo"}

pytestmark = pytest.mark.slow


def tensor(name, datatype, data):
    return {"name": name, "datatype": datatype, "shape": [len(data)], "data": data}


GOOD = {
    "/models/mixed/invocations": [
        {"dataframe_split": {"columns": list(ROW), "data": [list(ROW.values())] * 2}},
        {"dataframe_records": [ROW, ROW]},
        {"instances": [ROW]},
        {"inputs": {name: [value] for name, value in ROW.items()}},
    ],
    "/models/image/invocations": [{"instances": [[[1, 0], [0, 1]]]}],
    "/v2/models/mixed/infer": [
        {
            "id": "1",
            "inputs": [
                tensor("age", "FP64", [1.5, None]),
                tensor("visits", "INT64", [1, 2]),
                tensor("smoker", "BOOL", [True, False]),
                tensor("city", "BYTES", ["a", None]),
            ],
            "outputs": [{"name": "prediction", "parameters": {"binary_data": False}}],
        }
    ],
    "/v2/models/image/infer": [
        {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 2, 2], "data": [1, 2, 3, 4]}]},
        {"inputs": [{"name": "image", "datatype": "FP64", "shape": [1, 2, 2], "parameters": {"binary_data_size": 32}}]},
    ],
    "/v1/models/mixed:predict": [
        {"instances": [ROW, {**ROW, "age": None, "city": {"b64": "T3Nsbw=="}}]},
        {"inputs": {name: [value] for name, value in ROW.items()}, "signature_name": "serving_default"},
        {"signature_name": "", "inputs": {**{name: [value] for name, value in ROW.items()}, "city": [{"b64": "T3M"}]}},
    ],
    "/v1/models/image/versions/3:predict": [
        {"instances": [[[1, 0], [0, 1]], [[1, 1], [1, 1]]]},
        {"inputs": {"image": [[[1, 0], [0, 1]]]}},
    ],
}
PATHS = st.sampled_from(sorted(GOOD))
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "content_type": st.sampled_from(
            ["application/json", "text/csv", "", "application/json;", "x/y", "text/csv; charset=utf-8"]
        ),
        "inference_header_content_length": st.one_of(
            st.integers(-5, 400).map(str), st.sampled_from(["", "a", "9" * 30])
        ),
        "content_encoding": st.sampled_from(["gzip", "identity"]),
        "content_length": st.sampled_from(["-1", "a", "5", "99999999999"]),
    },
)


@pytest.fixture
def refuse(gateway, ask):
    served = gateway("mixed", "image")

    def check(path, body, **headers):
        answer = ask(served, "POST", path, body, **headers)
        assert answer.status < 500, answer.body
        if answer.status != 200:
            assert set(answer.json) == {"error"}
            assert answer.error.isprintable()
            assert len(answer.error) <= 1_000
            assert "Traceback" not in answer.error
        assert served.in_flight == 0

    return check


@pytest.fixture
def network(gateway):
    return gateway("network")


@FUZZ
@given(path=PATHS, body=st.binary(max_size=200), headers=HEADERS)
def test_bytes_are_never_a_fault(refuse, path, body, headers):
    refuse(path, body, **headers)


@FUZZ
@given(path=PATHS, value=VALUES)
def test_json_values_are_never_a_fault(refuse, path, value):
    refuse(path, json.dumps(value).encode("utf-8", "surrogatepass"), content_type="application/json")


@st.composite
def mutated(draw):
    """Return a path and a good request with up to three places changed."""
    path = draw(PATHS)
    body = copy.deepcopy(draw(st.sampled_from(GOOD[path])))
    for _ in range(draw(st.integers(1, 3))):
        mutate(draw, body)
    return path, body


def mutate(draw, body):
    place, parents = body, []
    while isinstance(place, (dict, list)) and place and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(place))) if isinstance(place, dict) else draw(st.integers(0, len(place) - 1))
        parents.append((place, key))
        place = place[key]
    if not parents:
        return
    parent, key = parents[-1]
    action = draw(st.sampled_from(["replace", "remove", "repeat", "rename"]))
    if action == "replace":
        parent[key] = draw(VALUES)
    elif action == "remove":
        del parent[key]
    elif isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
    else:
        parent[draw(NAMES)] = parent[key] if action == "repeat" else parent.pop(key)


@FUZZ
@given(request=mutated(), tail=st.binary(max_size=64))
def test_mutated_requests_are_never_a_fault(refuse, request, tail):
    path, body = request
    text = json.dumps(body).encode("utf-8", "surrogatepass")
    refuse(path, text, content_type="application/json")
    refuse(path, text + tail, inference_header_content_length=str(len(text)))


@FUZZ
@given(request=mutated(), data=st.data())
def test_damaged_texts_are_never_a_fault(refuse, request, data):
    path, body = request
    text = json.dumps(body).encode("utf-8", "surrogatepass")
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    refuse(path, text[:start] + data.draw(st.binary(max_size=6)) + text[end:], content_type="application/json")


@pytest.mark.parametrize("path", sorted(GOOD))
def test_no_depth_of_nesting_is_a_fault(refuse, path):
    for depth in (*range(5, 60), *range(900, 1_100, 3), 100_000):
        nested = "[" * depth + '":"' + "]" * depth
        row = nested.join(("[", "]"))
        for text in (
            nested,
            f'{{"instances": {nested}}}',
            f'{{"inputs": {nested}}}',
            f'{{"inputs": {{"image": {nested}}}}}',
            f'{{"instances": [{{"age": {nested}, "visits": 1, "smoker": true, "city": "a:b"}}]}}',
            f'{{"inputs": [{{"name": "age", "datatype": "FP64", "shape": [1], "data": {row}}}]}}',
            f'{{"dataframe_split": {{"columns": ["age", "visits", "smoker", "city"], "data": {row}}}}}',
            f'{{"dataframe_records": {row}}}',
        ):
            refuse(path, text.encode(), content_type="application/json")


CELLS = st.one_of(
    st.text(max_size=6), st.sampled_from(["1", "-2.5", "", "nan", "true", "False", "1e999", '"', "Oslo", "\x00"])
)


@FUZZ
@given(
    header=st.lists(st.one_of(NAMES, st.sampled_from(["age", "visits", "smoker", "city"])), max_size=6),
    rows=st.lists(st.lists(CELLS, max_size=6), max_size=4),
)
def test_csv_is_never_a_fault(refuse, header, rows):
    text = "\n".join(",".join(cells) for cells in [header, *rows])
    refuse("/models/mixed/invocations", text.encode("utf-8", "surrogatepass"), content_type="text/csv")


@FUZZ
@given(numbers=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=30, max_size=30))
def test_any_finite_number_is_answered_or_refused(network, ask, numbers):
    row = {f"feature_{index}": number for index, number in enumerate(numbers)}
    answer = ask(network, "POST", "/invocations", {"dataframe_records": [row]})
    assert answer.status in (200, 400), answer.body
