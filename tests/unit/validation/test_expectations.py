"""What Great Expectations says is heard right, also where it would say success and checked nothing."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pytest

from components.errors import SuiteError, ValidationRefusedError
from components.types.record import dump
from components.validation.checks import BAD_ROWS_CAP
from components.validation.expectations import ExpectationResult, plain, run_expectations

from .conftest import Project, expectation, people

BETWEEN = "expect_column_values_to_be_between"


def _city(name: str) -> dict[str, Any]:
    return {"type": "comparison", "column": {"name": "city"}, "operator": "==", "parameter": name}


def _run(project: Project, *expectations: dict[str, Any], batch_bytes: int | None = None) -> list[ExpectationResult]:
    project.write_suite(*expectations)
    return list(run_expectations(project.table, project.suite, batch_bytes))


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (expectation("expect_column_values_to_be_betwen", column="age", min_value=1), f"did you mean `{BETWEEN}`"),
        (expectation(BETWEEN, column="age", minimum=1), "argument `minimum`"),
        (expectation(BETWEEN, column="age"), "cannot both be None"),
        (expectation(BETWEEN, column="age", min_value=1, mostly=1.5), "argument `mostly`"),
        (expectation(BETWEEN, min_value=1), "argument `column`"),
        (expectation("expect_table_row_count_to_equal_other_table", other_table_name="x"), "needs a database"),
        (expectation("unexpected_rows_expectation", unexpected_rows_query="select 1"), "needs a database"),
    ],
)
def test_an_expectation_that_cannot_be_used_is_refused_by_its_place(
    project: Project, bad: dict[str, Any], words: str
) -> None:
    good = expectation(BETWEEN, column="age", min_value=0)
    with pytest.raises(SuiteError, match=rf"expectations\[1\].*{words}"):
        _run(project, good, bad)


def test_only_critical_failures_refuse_a_table(project: Project) -> None:
    young = {"column": "age", "max_value": 30}
    good = expectation(BETWEEN, column="age", min_value=0)
    project.write_suite(good, expectation(BETWEEN, "warning", **young), expectation(BETWEEN, "info", **young))
    project.validate()
    verdict = project.verdict()
    assert verdict is not None
    assert verdict.success
    assert verdict.failed == {"critical": 0, "warning": 1, "info": 1}
    project.write_suite(good, expectation(BETWEEN, "critical", **young))
    with pytest.raises(ValidationRefusedError, match=rf"{BETWEEN}\(age\): \d+ of 200 values"):
        project.validate()
    assert project.reported_verdict().failed == {"critical": 1, "warning": 0, "info": 0}


def test_outcomes_keep_the_suites_order_and_count_what_they_looked_at(project: Project) -> None:
    frame = people().with_columns(income=pl.when(pl.int_range(pl.len()) < 50).then(None).otherwise(pl.col("income")))
    project.write_table(frame)
    results = _run(
        project,
        expectation(BETWEEN, column="income", min_value=0),
        expectation("expect_table_row_count_to_be_between", min_value=100),
        expectation("expect_column_mean_to_be_between", column="age", min_value=0, max_value=10),
        expectation("expect_table_columns_to_match_set", column_set=frame.columns),
        expectation("expect_column_values_to_not_be_null", column="income"),
    )
    outcomes = [result.outcome for result in results]
    assert [each.index for each in outcomes] == [0, 1, 2, 3, 4]
    assert [each.success for each in outcomes] == [True, True, False, True, False]
    assert outcomes[0].checked_count == 150
    assert outcomes[1].observed == 200
    assert outcomes[2].reason.startswith("observed 5")
    assert (outcomes[4].unexpected_count, outcomes[4].checked_count) == (50, 200)


def test_an_expectation_that_looked_at_no_row_has_failed(project: Project) -> None:
    (nobody,) = _run(project, expectation(BETWEEN, column="age", min_value=0, row_condition=_city("Atlantis")))
    assert not nobody.outcome.success
    assert nobody.refuses
    assert "no value to look at" in nobody.outcome.reason


def test_an_expectation_that_raises_refuses_whatever_its_severity_and_quotes_no_value(project: Project) -> None:
    good = expectation(BETWEEN, column="age", min_value=0)
    _, raised = _run(project, good, expectation(BETWEEN, "info", column="city", min_value=1))
    assert raised.refuses
    assert raised.outcome.reason.startswith("could not be evaluated (TypeError)")
    assert not any(city in raised.outcome.reason for city in ("Basel", "Bern", "Chur"))


def test_rows_at_fault_are_named_by_their_place_in_the_table_and_capped(project: Project) -> None:
    project.write_table(people(1000))
    some, everyone, pairs = _run(
        project,
        expectation("expect_column_values_to_be_in_set", column="id", value_set=["person-00000"], mostly=0.5),
        expectation(BETWEEN, column="age", max_value=1),
        expectation("expect_column_pair_values_a_to_be_greater_than_b", column_A="age", column_B="income"),
    )
    assert some.bad is not None
    assert everyone.bad is not None
    assert pairs.bad is not None
    assert some.bad.rows[0] == 1
    assert everyone.bad.rows == tuple(range(BAD_ROWS_CAP))
    assert pairs.bad.columns == ("age", "income")


def test_rows_at_fault_within_a_row_condition_keep_their_place(project: Project) -> None:
    frame = people()
    (result,) = _run(project, expectation(BETWEEN, column="age", max_value=1, row_condition=_city("Bern")))
    assert result.bad is not None
    expected = [row for row, city in enumerate(frame["city"]) if city == "Bern"]
    assert list(result.bad.rows) == expected[:BAD_ROWS_CAP]


def test_times_are_compared_with_times(project: Project) -> None:
    early, late = _run(
        project,
        expectation(BETWEEN, column="joined", min_value="2020-01-01"),
        expectation(BETWEEN, column="joined", min_value="2022-01-01T00:00:00"),
    )
    assert early.outcome.success
    assert not late.outcome.success
    assert late.outcome.unexpected_count


def test_whole_numbers_flags_and_quantiles_give_plain_json(project: Project) -> None:
    results = _run(
        project,
        expectation(
            "expect_column_quantile_values_to_be_between",
            column="age",
            quantile_ranges={"quantiles": [0.5], "value_ranges": [[0, 200]]},
        ),
        expectation("expect_column_mean_to_be_between", column="member", min_value=0, max_value=1),
        expectation("expect_column_max_to_be_between", column="joined", min_value="2020-01-01"),
        expectation("expect_column_unique_value_count_to_be_between", column="city", min_value=1),
        expectation("expect_column_distinct_values_to_equal_set", column="city", value_set=["Basel", "Bern", "Chur"]),
    )
    assert all(result.outcome.success for result in results)
    json.dumps([dump(result.outcome) for result in results], allow_nan=False)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.bool_(True), True),
        (np.float64("nan"), None),
        (float("inf"), None),
        (np.array([1, 2]), [1, 2]),
        ({"b", "a"}, ["a", "b"]),
        ({1: np.int64(3)}, {"1": 3}),
        (list(range(100)), list(range(20))),
    ],
)
def test_what_was_observed_becomes_plain_json(value: Any, expected: Any) -> None:
    assert plain(value) == expected


SUITE = (
    expectation("expect_table_row_count_to_be_between", min_value=1),
    expectation(BETWEEN, column="age", min_value=20, max_value=80),
    expectation(BETWEEN, column="income", min_value=2000, mostly=0.9),
    expectation("expect_column_values_to_be_in_set", column="city", value_set=["Basel", "Bern"]),
    expectation("expect_column_values_to_be_unique", column="id"),
    expectation("expect_column_pair_values_a_to_be_greater_than_b", column_A="income", column_B="age"),
    expectation("expect_column_mean_to_be_between", column="income", min_value=0, max_value=10_000),
    expectation("expect_column_to_exist", column="joined"),
    expectation("expect_column_values_to_not_be_null", column="member", row_condition=_city("Bern")),
)


@pytest.mark.parametrize("batch_bytes", [1, 4000])
def test_column_batches_give_the_verdict_of_one_batch(project: Project, batch_bytes: int) -> None:
    assert _run(project, *SUITE, batch_bytes=batch_bytes) == _run(project, *SUITE)
