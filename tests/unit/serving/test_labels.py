"""Labels that arrive later: what is taken, what is refused, and that a refused request hands on nothing."""

import json

import pytest

from bench.products import plain_input
from components.errors import SchemaError
from components.serving.labels import take_labels
from components.serving.refusals import RequestRefusedError
from components.serving.split import key_of
from components.types.dataset import Task
from components.types.product import Signature

CLASSES = Signature(Task.BINARY, (plain_input("x"),), ("benign", "malignant"))
NUMBERED = Signature(Task.BINARY, (plain_input("x"),), (0, 1))
REGRESSION = Signature(Task.REGRESSION, (plain_input("x"),), ())


def taken(content, signature, known=frozenset({"a", "b"}), most=10):
    heard = []
    keys = {key_of(name.encode()) for name in known}

    def labelled(request, label):
        heard.append((request, label))
        return request in keys

    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return json.loads(take_labels(body, signature, most, labelled).body), heard


def test_one_label_and_a_list_of_them_are_handed_on():
    assert taken({"id": "a", "label": "benign"}, CLASSES) == (
        {"joined": 1, "unknown": 0},
        [(key_of(b"a"), "benign")],
    )
    many = [{"id": name, "label": 1.5} for name in ("a", "b", "nobody")]
    assert taken(many, REGRESSION)[0] == {"joined": 2, "unknown": 1}


@pytest.mark.parametrize(
    ("signature", "label"),
    [
        (CLASSES, "unheard"),
        (CLASSES, 0),
        (CLASSES, None),
        (CLASSES, ["benign"]),
        (NUMBERED, True),
        (NUMBERED, 1.0),
        (NUMBERED, "1"),
        (REGRESSION, "1"),
        (REGRESSION, True),
        (REGRESSION, None),
    ],
)
def test_a_label_that_the_model_could_not_give_is_refused_and_none_is_handed_on(signature, label):
    good = {"id": "a", "label": (signature.classes or (1.0,))[0]}
    heard = []
    with pytest.raises(SchemaError, match="label 1"):
        take_labels(json.dumps([good, {"id": "b", "label": label}]).encode(), signature, 10, heard.append)
    assert heard == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"7",
        b'{"id": "a"}',
        b'{"id": "a", "label": 1, "more": 2}',
        b'{"id": 7, "label": 1}',
        b'{"id": "", "label": 1}',
        b'["a", 1]',
        b'{"id": "\xc3\xa9", "label": 1}',
        b'{"id": "' + b"a" * 200 + b'", "label": 1}',
        b'{"id": "a", "label": 1e999}',
    ],
)
def test_what_is_no_label_is_refused(body):
    with pytest.raises((SchemaError, RequestRefusedError)):
        taken(body, REGRESSION)


def test_more_labels_than_one_request_may_bring_are_refused():
    with pytest.raises(RequestRefusedError) as refused:
        taken([{"id": "a", "label": 1}] * 11, REGRESSION)
    assert refused.value.status == 413
