"""MLflow's forms: what is understood, and what is refused with which sentence."""

import json

import pytest

MIXED = {"age": 40, "visits": 2, "smoker": True, "city": "Oslo"}
EXPECTED = 40 + 2_000 + 1e6 + 1e7


def predicted(answer):
    return [row["prediction"] for row in answer.json["predictions"]]


def split(rows, columns=("age", "visits", "smoker", "city")):
    return {"dataframe_split": {"columns": list(columns), "data": rows}}


@pytest.mark.parametrize(
    "body",
    [
        split([[40, 2, True, "Oslo"]]),
        split([[2, "Oslo", 40.0, True]], ("visits", "city", "age", "smoker")),
        {"dataframe_split": {"index": [5], **split([[40, 2, True, "Oslo"]])["dataframe_split"]}},
        {"dataframe_records": [MIXED]},
        {"instances": [MIXED]},
        {"inputs": {name: [value] for name, value in MIXED.items()}},
        {"inputs": [MIXED]},
        {"dataframe_records": [MIXED], "params": None},
    ],
)
def test_every_form_gives_the_same_answer(gateway, ask, body):
    answer = ask(gateway("mixed"), "POST", "/invocations", body)
    assert answer.status == 200, answer.body
    assert answer.json == {"predictions": [{"prediction": EXPECTED}], "model_name": "mixed", "model_version": "3"}


def test_csv_is_read_by_the_types_of_the_columns(gateway, ask):
    text = b"city,age,smoker,visits\r\nOslo,40,True,2\n,,false,0\n"
    answer = ask(gateway("mixed"), "POST", "/invocations", text, content_type="text/csv; charset=utf-8")
    assert predicted(answer) == [EXPECTED, 500 + 2e7]


def test_null_is_missing_where_training_had_missing_values(gateway, ask):
    answer = ask(gateway("mixed"), "POST", "/invocations", split([[None, 1, False, None]]))
    assert predicted(answer) == [500 + 1_000 + 2e7]


def test_a_classifier_answers_labels_and_probabilities_in_the_order_of_its_classes(gateway, ask, served):
    row = {f"feature_{index}": 0.1 * index for index in range(30)}
    answer = ask(gateway("network"), "POST", "/invocations", {"dataframe_records": [row, row]}).json
    first, second = answer["predictions"]
    assert first == second
    best = max(range(2), key=first["probabilities"].__getitem__)
    assert first["prediction"] == served("network").signature.classes[best]


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [[[1, 1], [1, 0]], [[0, 0], [0, 0]]]},
        {"inputs": [[[1, 1], [1, 0]], [[0, 0], [0, 0]]]},
        {"inputs": {"image": [[[1, 1], [1, 0]], [[0, 0], [0, 0]]]}},
        {"instances": [{"image": [[1, 1], [1, 0]]}, {"image": [[0, 0], [0, 0]]}]},
        split([[1, 1, 1, 0], [0, 0, 0, 0]], [f"pixel_{index}" for index in range(4)]),
        split([[0, 1, 1, 1], [0, 0, 0, 0]], ["pixel_3", "pixel_1", "pixel_2", "pixel_0"]),
    ],
)
def test_an_image_may_come_as_nested_lists_or_as_pixel_columns(gateway, ask, body):
    answer = ask(gateway("image"), "POST", "/invocations", body)
    assert answer.status == 200, answer.body
    assert answer.json["predictions"] == [
        {"prediction": 1, "probabilities": [0.25, 0.75]},
        {"prediction": 0, "probabilities": [1.0, 0.0]},
    ]


REFUSED = [
    (split([[40, 2, True]]), "row 0: expected 4 values, found 3"),
    (split([[40, 2, True, "Oslo"], 5]), "row 1: expected a list of 4 values, found 5"),
    (split([["40", 2, True, "Oslo"]]), "row 0, column `age`: expected a number or null, found '40'"),
    (split([[True, 2, True, "Oslo"]]), "row 0, column `age`: expected a number or null, found true"),
    (split([[40, 2.0, True, "Oslo"]]), "row 0, column `visits`: expected an integer of 64 bits, found 2.0"),
    (split([[40, True, True, "Oslo"]]), "row 0, column `visits`: expected an integer of 64 bits, found true"),
    (split([[40, 2**63, True, "Oslo"]]), "row 0, column `visits`: expected an integer of 64 bits"),
    (split([[40, 2, 1, "Oslo"]]), "row 0, column `smoker`: expected true or false, found 1"),
    (split([[40, 2, True, 7]]), "row 0, column `city`: expected a string or null, found 7"),
    (split([[40, 2, True, ["Oslo"]]]), "row 0, column `city`: expected a string or null, found a list"),
    (split([[40, None, True, "Oslo"]]), "row 0, column `visits`: expected an integer of 64 bits, and this column was"),
    (split([[40, 2, True, "Oslo"]], ("age", "visits", "smoker", "town")), "unknown column `town`"),
    (split([[40, 2, True, "Oslo"]], ("age", "visits", "smokr", "city")), "did you mean `smoker`?"),
    (split([[40, 2, True]], ("age", "visits", "smoker")), "column `city` is missing"),
    (split([[40, 2, True, "Oslo", 1]], ("age", "visits", "smoker", "city", "age")), "column `age` is given twice"),
    (split([[40, 2, True, "Oslo"]], ("age", "visits", "smoker", 5)), "unknown column `5`"),
    (split([]), "no rows"),
    ({"dataframe_split": {"columns": ["age"]}}, "an object with `columns` and `data`"),
    ({"dataframe_split": {"columns": {}, "data": []}}, "must be lists"),
    ({"dataframe_split": [1]}, "an object with `columns` and `data`"),
    ({"dataframe_split": {**split([])["dataframe_split"], "index": [1]}}, "`index`"),
    ({"dataframe_records": []}, "no rows"),
    ({"dataframe_records": {}}, "a list of records"),
    ({"dataframe_records": [MIXED, 3]}, "row 1: expected an object, found 3"),
    ({"dataframe_records": [{**MIXED, "extra": 1}]}, "row 0: unknown column `extra`"),
    ({"dataframe_records": [{"age": 1}]}, "row 0: column `visits`, `smoker`, `city` is missing"),
    ({"dataframe_records": [{**{k: v for k, v in MIXED.items() if k != "age"}, "ages": 1}]}, "unknown column `ages`"),
    ({"inputs": {"age": [1]}}, "input `visits`, `smoker`, `city` is missing"),
    ({"inputs": MIXED}, "input `age`: expected a list with one value a row, found 40"),
    (
        {"inputs": {**{name: [value] for name, value in MIXED.items()}, "age": [1, 2]}},
        "`visits`: expected nested lists",
    ),
    ({"inputs": [1, 2]}, "must name the inputs"),
    ({"inputs": 3}, "must name the inputs"),
    ({}, "exactly one of"),
    ({"instances": [MIXED], "inputs": [MIXED]}, "exactly one of"),
    ({"instances": [MIXED], "verbose": True}, "unknown key `verbose`"),
    ({"instances": [MIXED], "params": {"a": 1}}, "unknown key `params`"),
    ([MIXED], "not an object"),
]


@pytest.mark.parametrize(("body", "sentence"), REFUSED, ids=[sentence[:50] for _, sentence in REFUSED])
def test_what_is_wrong_is_refused_in_one_sentence(gateway, ask, body, sentence):
    answer = ask(gateway("mixed"), "POST", "/invocations", body)
    assert answer.status == 400
    assert sentence in answer.error
    assert "\n" not in answer.error


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "empty"),
        (b"[1", "not JSON"),
        (b'{"inputs": {"x": [NaN]}}', "NaN or Infinity"),
        (b'{"inputs": {"x": [-Infinity]}}', "NaN or Infinity"),
        (b'{"inputs": {"x": [1e999]}}', "not JSON"),
        (b'{"inputs": {"x": [1]}, "inputs": {"x": [2]}}', "key `inputs` is given twice"),
        (b'{"inputs": {"x": [1], "x": [2]}}', "key `x` is given twice"),
        (b'{"dataframe_records": [{"x": 1, "x": 2}]}', "key `x` is given twice"),
        (b'{"dataframe_split": {"columns": ["x"], "data": [[1]], "data": [[2]]}}', "key `data` is given twice"),
        (b'{"inputs": {"x": ["\\ud800"]}}', "not JSON"),
        (b'\xff\xfe{"inputs"', "not JSON"),
        (b'{"inputs": ' + b"[" * 2_000 + b"]" * 2_000 + b"}", "nested deeper than 32"),
        (b'{"inputs": ' + b"[" * 40 + b"]" * 40 + b"}", "row 0, column `x`: expected a number"),
        (b'{"inputs": ' + b"[" * 1_000 + b'":"' + b"]" * 1_000 + b"}", "nested deeper than 32"),
    ],
)
def test_malformed_json_is_refused(gateway, ask, text, sentence):
    answer = ask(gateway("sum"), "POST", "/invocations", text, content_type="application/json")
    assert answer.status == 400
    assert sentence in answer.error


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "empty"),
        (b"x\n", "no rows"),
        (b"x\nnan\n", "row 0, column `x`: expected a number"),
        (b"x\n1e400\n", "row 0, column `x`: expected a number"),
        (b"x\n1_0\n", "row 0, column `x`: expected a number"),
        (b"x\n 1\n", "row 0, column `x`: expected a number"),
        (b"y\n1\n", "unknown column `y`"),
        (b",x\n0,1\n", "unknown column ``"),
        (b"x,x\n1,1\n", "given twice"),
        (b"x\n1,2\n", "row 0 has 2 values, expected 1"),
        (b'x\n"1\n', "not CSV"),
        (b"x\n\xff\n", "not UTF-8"),
        (b"x\n" + b"1" * 200_000, "not CSV"),
    ],
)
def test_malformed_csv_is_refused(gateway, ask, text, sentence):
    answer = ask(gateway("sum"), "POST", "/invocations", text, content_type="text/csv")
    assert answer.status == 400
    assert sentence in answer.error


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1", "text/csv;x=1"]
)
def test_other_content_types_are_refused(gateway, ask, kind):
    answer = ask(gateway("sum"), "POST", "/invocations", b'{"inputs": {"x": [1]}}', content_type=kind)
    assert answer.status == 415


def test_a_colon_in_a_value_is_no_key(gateway, ask):
    answer = ask(gateway("mixed"), "POST", "/invocations", {"dataframe_records": [{**MIXED, "city": "a:b"}]})
    assert answer.status == 200


def test_many_rows_are_as_strict_as_few(gateway, ask):
    rows = [[float(index % 3)] for index in range(1_000)]
    good = ask(gateway("sum"), "POST", "/invocations", split(rows, ["x"]))
    assert predicted(good) == [row[0] for row in rows]
    for wrong, word in ((True, "true"), (None, "null"), ("1", "'1'"), (float("nan"), "NaN")):
        answer = ask(gateway("sum"), "POST", "/invocations", split([*rows[:700], [wrong], *rows[700:]], ["x"]))
        assert answer.status == 400
        assert word in answer.error


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", json.dumps(split([[1.0]] * 11, ["x"])).encode()),
        ("application/json", json.dumps({"dataframe_records": [{"x": 1.0}] * 11}).encode()),
        ("application/json", json.dumps({"inputs": {"x": [1.0] * 11}}).encode()),
        ("text/csv", b"x\n" + b"1\n" * 11),
    ],
)
def test_more_rows_than_the_limit_are_refused(gateway, ask, kind, body):
    answer = ask(gateway("sum", rows=10), "POST", "/invocations", body, content_type=kind)
    assert (answer.status, answer.error[:39]) == (413, "the request has more than 10 rows; send")
    assert ask(gateway("sum", rows=11), "POST", "/invocations", body, content_type=kind).status == 200


def test_numbers_no_table_has_are_the_clients_fault_when_the_answer_is_not_finite(gateway, ask):
    row = dict.fromkeys((f"feature_{index}" for index in range(30)), 1e308)
    answer = ask(gateway("network"), "POST", "/invocations", {"dataframe_records": [row]})
    assert answer.status == 400
    assert "beyond" in answer.error
