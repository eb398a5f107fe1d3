"""A single column that nearly gives the label away is found, whatever its form; an honest one is not."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from components.validation.leak import check_leak, leak_scores

from .conftest import Project, people

ROWS = 2000
RNG = np.random.default_rng(5)
BINARY = RNG.integers(0, 2, ROWS)
CLASSES = RNG.integers(0, 5, ROWS)
NUMBER = RNG.lognormal(3, 1, ROWS)
FLIPPED = np.where(RNG.random(ROWS) < 0.002, 1 - BINARY, BINARY)

LEAKS = {
    "a copy of a binary label": (BINARY, pl.Series(BINARY * 2.0)),
    "a copy with a few errors": (BINARY, pl.Series(FLIPPED)),
    "the label upside down": (BINARY, pl.Series(1.0 - BINARY)),
    "numbers that a threshold separates": (BINARY, pl.Series(BINARY * 10 + RNG.normal(0, 1, ROWS))),
    "numbers that only an interval separates": (
        BINARY,
        pl.Series(np.where(BINARY, 0.0, RNG.choice([-5.0, 5.0], ROWS))),
    ),
    "strings that say it": (BINARY, pl.Series(np.where(BINARY, "paid", "open").tolist())),
    "missing exactly where the label is 1": (BINARY, pl.Series([None if each else 1.0 for each in BINARY])),
    "a string per class": (CLASSES, pl.Series([f"group {each}" for each in CLASSES])),
    "a code per class, out of order": (CLASSES, pl.Series(np.array([4.0, 0.0, 3.0, 1.0, 2.0])[CLASSES])),
    "another unit of a number": (NUMBER, pl.Series(NUMBER * 2.54 + 1)),
    "the logarithm of a number": (NUMBER, pl.Series(np.log(NUMBER))),
}
HONEST = {
    "noise": (BINARY, pl.Series(RNG.normal(0, 1, ROWS))),
    "a name of its own in every row": (BINARY, pl.Series([f"name {each}" for each in range(ROWS)])),
    "a name shared by two rows": (BINARY, pl.Series([f"name {each // 2}" for each in range(ROWS)])),
    "a good but honest number": (BINARY, pl.Series(BINARY * 2 + RNG.normal(0, 1, ROWS))),
    "a constant": (CLASSES, pl.Series(np.zeros(ROWS))),
    "one class of five given away": (CLASSES, pl.Series((CLASSES == 2).astype(float))),
    "a name in every row of a number": (NUMBER, pl.Series([f"name {each}" for each in range(ROWS)])),
    "half of a number": (NUMBER, pl.Series(NUMBER + RNG.normal(0, NUMBER.std(), ROWS))),
}


def _write(project: Project, label: np.ndarray, column: pl.Series, **more: pl.Series) -> None:
    frame = pl.DataFrame({"id": range(len(label)), "suspect": column, **more, "bought": label})
    project.write_table(frame)


@pytest.mark.parametrize("leak", LEAKS)
def test_a_column_that_gives_the_label_away_is_refused(project: Project, leak: str) -> None:
    _write(project, *LEAKS[leak])
    outcome = check_leak(project.table, project.suite.meta)
    assert not outcome.success
    assert outcome.columns == ("suspect",)


@pytest.mark.parametrize("column", HONEST)
def test_an_honest_column_passes(project: Project, column: str) -> None:
    _write(project, *HONEST[column])
    assert check_leak(project.table, project.suite.meta).success


def test_a_bound_of_ones_own_is_used(project: Project) -> None:
    _write(project, *HONEST["a good but honest number"])
    strict = project.suite.meta.model_copy(update={"leak_bound": 0.8})
    assert not check_leak(project.table, strict).success


def test_a_column_that_somebody_allowed_may_tell_the_label(project: Project) -> None:
    _write(project, *LEAKS["strings that say it"])
    allowing = project.suite.meta.model_copy(update={"leak_allowed": ("suspect",)})
    assert check_leak(project.table, allowing).success


def test_what_the_label_was_made_of_is_not_judged_because_it_is_dropped_anyway(project: Project) -> None:
    frame = people().with_columns(income=pl.col("bought") * 1.0)
    project.write_table(frame, label_inputs=["income"])
    scores = {score.column: score.score for score in leak_scores(project.table)}
    assert "income" not in scores
    assert "id" not in scores
    assert set(scores) == {"age", "city", "member", "joined"}


def test_scores_come_best_first_and_do_not_differ_from_call_to_call(project: Project) -> None:
    scores = leak_scores(project.table)
    assert scores == leak_scores(project.table)
    assert scores[0].column == "age"
    assert [score.score for score in scores] == sorted((score.score for score in scores), reverse=True)


@pytest.mark.parametrize(
    ("label", "names", "chance"), [(BINARY, ROWS // 2, 0.5), (CLASSES, ROWS // 2, 0.5), (NUMBER, ROWS // 2, 0.0)]
)
def test_what_can_only_be_learnt_by_heart_scores_no_better_than_chance(
    project: Project, label: np.ndarray, names: int, chance: float
) -> None:
    _write(project, label, pl.Series([f"name {each % names}" for each in range(ROWS)]))
    (score,) = leak_scores(project.table)
    assert score.score == pytest.approx(chance, abs=0.06)
