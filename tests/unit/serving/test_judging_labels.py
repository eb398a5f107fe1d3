"""What labels say of versions: joined by request, compared by type, counted once."""

from __future__ import annotations

import random

import numpy as np
import pytest

from components.errors import BadInputError
from tests.judges import CANARY, STABLE, all_kinds, ask, judges, number, word


def test_a_label_finds_its_prediction_whichever_worker_answered(tmp_path):
    ours, theirs = judges(tmp_path, workers=2)
    right, wrong = ask(ours, CANARY, outputs=word("yes")), ask(ours, CANARY, outputs=word("no"))
    assert theirs.labelled(right, "yes")
    assert theirs.labelled(wrong, "yes")
    assert not theirs.labelled(wrong, "yes"), "a label counts once"
    assert not ours.labelled(12345, "yes"), "nobody asked this"
    report = theirs.report()
    assert report.canary.labelled == 2
    assert report.canary.bad == all_kinds(label_error=1)


@pytest.mark.parametrize(
    ("predicted", "label", "is_right"),
    [(np.array([1]), 1, True), (np.array([1]), 1.0, True), (np.array([1]), 0, False), (np.array([True]), True, True)],
)
def test_classes_of_every_type_are_compared_with_json_labels(tmp_path, predicted, label, is_right):
    (judge,) = judges(tmp_path)
    outputs = {"prediction": predicted, "probabilities": np.array([[0.1, 0.9]], np.float32)}
    assert judge.labelled(ask(judge, CANARY, outputs=outputs), label)
    assert judge.report().canary.bad == all_kinds(label_error=not is_right)


def test_a_label_that_is_none_is_refused_and_may_be_sent_again(tmp_path):
    (judge,) = judges(tmp_path)
    request = ask(judge)
    for label in ("many", None, float("nan"), True, [1.0]):
        with pytest.raises(BadInputError, match="no finite number"):
            judge.labelled(request, label)
    assert judge.labelled(request, 1)


def test_a_request_of_several_rows_takes_no_label(tmp_path):
    (judge,) = judges(tmp_path)
    assert not judge.labelled(ask(judge, outputs={"prediction": np.array([1.0, 2.0])}), 1.0)


def test_a_number_is_wrong_when_it_is_further_off_than_stable_mostly_is(tmp_path):
    (judge,) = judges(tmp_path)
    early = ask(judge, CANARY, outputs=number(500.0))
    judge.labelled(early, 0.0)
    for turn in range(200):
        judge.labelled(ask(judge, outputs=number(float(turn % 100))), 0.0)
    judge.flush()
    for error, is_wrong in ((90.0, False), (120.0, True)):
        judge.labelled(ask(judge, CANARY, outputs=number(error)), 0.0)
        assert judge.report().canary.bad == all_kinds(label_error=is_wrong)


def test_a_canary_that_is_wrong_more_often_is_stopped(tmp_path):
    (judge,) = judges(tmp_path)
    chance = random.Random(5)
    for _ in range(20_000):
        is_canary = chance.random() < 0.05
        is_wrong = chance.random() < (0.3 if is_canary else 0.1)
        judge.labelled(ask(judge, CANARY if is_canary else STABLE, outputs=word("no" if is_wrong else "yes")), "yes")
        if judge.stopped:
            break
    assert judge.weight == 0
    assert "label error" in judge.report().alarm
