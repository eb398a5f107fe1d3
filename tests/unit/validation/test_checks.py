"""Every check of our own refuses what Great Expectations would let pass, and none needs it to be imported."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

from components.errors import ValidationRefusedError
from components.validation.checks import BAD_ROWS_CAP, run_checks
from components.validation.verdict import CheckOutcome

from .conftest import Project, people


def _with(**columns: pl.Expr) -> pl.DataFrame:
    return people().with_columns(**columns)


INFINITE = pl.when(pl.int_range(pl.len()) == 7).then(float("inf")).otherwise(pl.col("income"))
NO_LABEL = pl.when(pl.int_range(pl.len()) == 9).then(None).otherwise(pl.col("bought"))
NO_ID = pl.when(pl.int_range(pl.len()) == 9).then(None).otherwise(pl.col("id"))
REPEATED = pl.when(pl.int_range(pl.len()) == 9).then(pl.lit("person-00003")).otherwise(pl.col("id"))

FAULTS: dict[str, tuple[Callable[[], pl.DataFrame], tuple[str, ...]]] = {
    "not_empty": (lambda: people().head(0), ()),
    "no_missing_column": (lambda: people().drop("city"), ("city",)),
    "no_extra_column": (lambda: _with(height=pl.lit(1.8)), ("height",)),
    "types": (lambda: _with(age=pl.col("age").cast(pl.Float64)), ("age",)),
    "not_all_missing": (lambda: _with(city=pl.lit(None, pl.String)), ("city",)),
    "finite": (lambda: _with(income=INFINITE), ("income",)),
    "id_not_missing": (lambda: _with(id=NO_ID), ("id",)),
    "id_unique": (lambda: _with(id=REPEATED), ("id",)),
    "label_not_missing": (lambda: _with(bought=NO_LABEL), ("bought",)),
    "label_varies": (lambda: _with(bought=pl.lit(1, pl.Int64)), ("bought",)),
    "no_leak": (lambda: _with(income=pl.col("bought") * 10.0 + 1), ("income",)),
}


def _failed(project: Project) -> dict[str, CheckOutcome]:
    outcomes = [result.outcome for result in run_checks(project.table, project.suite.meta)]
    return {each.check: each for each in outcomes if not each.success}


def test_a_sound_table_passes_every_check(project: Project) -> None:
    checks = [result.outcome for result in run_checks(project.table, project.suite.meta)]
    assert {each.check for each in checks} >= FAULTS.keys()
    assert all(each.success and each.reason for each in checks)


@pytest.mark.parametrize("check", FAULTS)
def test_each_fault_is_refused_by_its_own_check(project: Project, check: str) -> None:
    make, columns = FAULTS[check]
    project.write_table(make())
    failed = _failed(project)
    assert check in failed
    assert failed[check].columns == columns


@pytest.mark.parametrize("check", FAULTS)
def test_a_refused_table_leaves_no_output_but_a_report(project: Project, check: str) -> None:
    project.write_table(FAULTS[check][0]())
    with pytest.raises(ValidationRefusedError, match=check):
        project.validate()
    assert project.verdict() is None
    assert not project.reported_verdict().success
    assert "refused" in (project.report / "index.html").read_text()


def test_negative_infinity_is_refused_too(project: Project) -> None:
    project.write_table(_with(income=-INFINITE))
    assert _failed(project).keys() == {"finite"}


def test_a_column_of_nan_has_no_value(project: Project) -> None:
    project.write_table(_with(income=pl.lit(float("nan"))))
    assert _failed(project).keys() == {"not_all_missing"}


def test_every_fault_of_a_kind_is_named(project: Project) -> None:
    project.write_table(people().drop("city", "member"))
    assert _failed(project)["no_missing_column"].columns == ("city", "member")


def test_two_missing_ids_are_named_as_missing_and_as_repeated(project: Project) -> None:
    project.write_table(_with(id=pl.when(pl.int_range(pl.len()) < 2).then(None).otherwise(pl.col("id"))))
    assert {"id_not_missing", "id_unique"} <= _failed(project).keys()


def test_rows_at_fault_are_placed_and_capped(project: Project) -> None:
    frame = people(500)
    project.write_table(frame.with_columns(id=pl.lit("same")))
    (bad,) = [result.bad for result in run_checks(project.table, project.suite.meta) if result.bad]
    assert bad.rows == tuple(range(BAD_ROWS_CAP))
    project.write_table(frame.with_columns(income=INFINITE))
    (bad,) = [result.bad for result in run_checks(project.table, project.suite.meta) if result.bad]
    assert bad.rows == (7,)


def test_a_type_that_no_dataset_may_have_is_refused(project: Project) -> None:
    project.write_table(_with(age=pl.col("age").cast(pl.Int32)))
    assert "int32" in _failed(project)["types"].reason
