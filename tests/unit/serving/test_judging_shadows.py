"""A shadow is judged in pairs: by what it alone got wrong, and by how far its predictions are."""

from __future__ import annotations

import random
from itertools import count

import pytest

from components.serving.judging import LiveJudge
from components.types.judging import BadEvent
from tests.judges import (
    ERROR,
    SHADOW_SPLIT,
    STABLE,
    all_kinds,
    ask,
    judges,
    new,
    number,
    word,
)


def mirror(judge: LiveJudge, bad: BadEvent | None = None, user: int | None = None, **given) -> int:
    request = ask(judge, outputs=given.get("stable", number(1.0)), user=user or new())
    shadow = None if bad else given.get("shadow", number(1.0))
    stable = given.get("stable", number(1.0))
    judge.mirrored(user or request, request, stable, shadow, 0.001, given.get("seconds", 0.001), bad)
    return request


def test_a_shadow_that_fails_alone_raises_an_alarm(tmp_path):
    several = judges(tmp_path, SHADOW_SPLIT, workers=2)
    for pairs in count(1):
        mirror(several[pairs % 2], ERROR)
        if several[0].stopped:
            break
    report = several[1].report()
    assert 8 <= pairs <= 20
    assert f"on mirrored requests {pairs} users had a server error of the shadow, version 4, alone" in report.alarm
    assert report.shadow.bad == all_kinds(server_error=pairs)
    assert (report.shadow.only_shadow_bad, report.shadow.only_stable_bad) == (pairs, 0)


def test_a_shadow_that_errs_where_stable_errs_raises_none(tmp_path):
    (judge,) = judges(tmp_path, SHADOW_SPLIT)
    for turn in range(600):
        wrong = word("no") if turn % 3 == 0 else word("yes")
        judge.labelled(mirror(judge, stable=wrong, shadow=wrong), "yes")
    report = judge.report()
    assert report.alarm is None
    assert (report.shadow.labelled, report.shadow.differing) == (600, 0)
    assert report.shadow.bad == report.shadow.stable_bad == all_kinds(label_error=200)
    assert report.shadow.only_shadow_bad == 0


def test_a_shadow_that_is_wrong_more_often_raises_an_alarm(tmp_path):
    (judge,) = judges(tmp_path, SHADOW_SPLIT)
    for turn in range(2_000):
        shadow = word("no") if turn % 20 == 0 else word("yes")
        judge.labelled(mirror(judge, stable=word("yes"), shadow=shadow), "yes")
    report = judge.report()
    assert "label error of the shadow" in report.alarm
    assert report.shadow.differing == 100


def test_where_stable_fails_itself_the_shadow_is_not_blamed(tmp_path):
    (judge,) = judges(tmp_path, SHADOW_SPLIT)
    for _ in range(200):
        ask(judge, STABLE, ERROR)
        mirror(judge, ERROR)
    assert judge.report().alarm is None
    assert judge.report().shadow.only_stable_bad == 200


def test_what_was_not_mirrored_is_counted(tmp_path):
    several = judges(tmp_path, SHADOW_SPLIT, workers=2)
    for judge in several:
        judge.dropped()
        mirror(judge)
    shadow = several[0].report().shadow
    assert shadow.dropped == 2
    several[1].flush()
    assert several[0].report().shadow.mirrored == 2


def test_drift_between_shadow_and_stable_counts_pairs_only(tmp_path):
    (judge,) = judges(tmp_path, SHADOW_SPLIT)
    chance = random.Random(8)
    for _ in range(400):
        value = chance.uniform(0, 5)
        mirror(judge, stable=number(value), shadow=number(value))
        ask(judge, outputs=number(50.0))
    drift = judge.report().drift
    assert drift.rows == 400
    assert drift.psi == pytest.approx(0.0)
