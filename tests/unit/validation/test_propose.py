"""A drafted suite passes the table it was drafted from, refuses a spoilt one, and never replaces a person's work."""

from __future__ import annotations

import json

import polars as pl
import pytest

from components.errors import SourceError, SuiteError, ValidationRefusedError
from components.validation.propose import draft_suite, propose_suite

from .conftest import Project, people


@pytest.fixture
def drafted(project: Project) -> Project:
    frame = people(2000).with_columns(
        income=pl.when(pl.int_range(pl.len()) % 10 == 0).then(None).otherwise(pl.col("income"))
    )
    project.write_table(frame)
    propose_suite("people", project.root, force=True)
    return project


def _frame(project: Project) -> pl.DataFrame:
    return pl.read_parquet(project.table.path)


def test_a_draft_passes_its_own_table_without_a_warning(drafted: Project) -> None:
    drafted.validate()
    verdict = drafted.verdict()
    assert verdict is not None
    assert verdict.failed == {"critical": 0, "warning": 0, "info": 0}
    assert len(verdict.expectations) > len(people().columns)


SPOILT = {
    "another unit": pl.col("income") * 1000,
    "far fewer labels": (pl.int_range(pl.len()) < 20).cast(pl.Int64).alias("bought"),
    "names nobody knows": pl.lit("Zürich").alias("city"),
    "negative numbers": -pl.col("age"),
}


@pytest.mark.parametrize("fault", SPOILT)
def test_a_draft_refuses_a_spoilt_table(drafted: Project, fault: str) -> None:
    drafted.write_table(_frame(drafted).with_columns(SPOILT[fault]))
    with pytest.raises(ValidationRefusedError, match="expect_"):
        drafted.validate()


def test_a_draft_refuses_a_table_of_which_most_rows_are_gone(drafted: Project) -> None:
    drafted.write_table(_frame(drafted).head(900))
    with pytest.raises(ValidationRefusedError, match="expect_table_row_count_to_be_between"):
        drafted.validate()


def test_a_draft_warns_when_means_move_or_values_go_missing(drafted: Project) -> None:
    moved = _frame(drafted).with_columns(
        age=pl.col("age") + 15,
        income=pl.when(pl.int_range(pl.len()) % 3 == 0).then(None).otherwise(pl.col("income")),
    )
    drafted.write_table(moved)
    drafted.validate()
    verdict = drafted.verdict()
    assert verdict is not None
    assert verdict.failed == {"critical": 0, "warning": 2, "info": 0}


def test_a_suite_that_is_there_stays_unless_forced(project: Project) -> None:
    path = project.root / "data" / "people" / "expectations.json"
    before = path.read_text()
    with pytest.raises(SuiteError, match=r"exists; .*--force"):
        propose_suite("people", project.root)
    assert path.read_text() == before
    written = propose_suite("people", project.root, force=True)
    assert json.loads(path.read_text()) == written


def test_a_draft_has_one_line_for_each_expectation(drafted: Project) -> None:
    text = (drafted.root / "data" / "people" / "expectations.json").read_text()
    suite = json.loads(text)
    assert sum('"type": "expect_' in line for line in text.splitlines()) == len(suite["expectations"])


def test_a_label_of_several_classes_is_watched_by_its_distribution(project: Project) -> None:
    frame = people(600).with_columns(bought=pl.int_range(pl.len()) % 3)
    project.write_table(frame)
    suite = draft_suite(project.table)
    about = {each["type"]: each["kwargs"] for each in suite["expectations"] if each["kwargs"].get("column") == "bought"}
    weights = about["expect_column_kl_divergence_to_be_less_than"]["partition_object"]["weights"]
    assert sum(weights) == pytest.approx(1.0, abs=1e-9)
    assert about["expect_column_values_to_be_in_set"]["value_set"] == [0, 1, 2]


def test_bounds_are_round_and_never_tighter_than_asked(project: Project) -> None:
    suite = draft_suite(project.table)
    (kwargs,) = [
        each["kwargs"]
        for each in suite["expectations"]
        if each["type"] == "expect_column_values_to_be_between" and each["kwargs"]["column"] == "income"
    ]
    income = people()["income"]
    width = income.max() - income.min()
    assert kwargs["max_value"] >= income.max() + width / 2
    assert kwargs["min_value"] <= max(0.0, income.min() - width / 2)
    assert len(str(kwargs["max_value"]).strip("0").replace(".", "")) <= 3


def test_nothing_can_be_drafted_from_an_empty_table_or_from_none(project: Project) -> None:
    project.write_table(people().head(0))
    with pytest.raises(SourceError, match="empty"):
        propose_suite("people", project.root, force=True)
    with pytest.raises(SourceError, match="ingest first"):
        propose_suite("nobody", project.root)
