"""A suite that checks nothing, or not what its author meant, is no suite."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.errors import SuiteError
from components.validation.suite import columns_of, read_suite, suite_digest

from .conftest import Project, expectation

AGE = expectation("expect_column_values_to_be_between", column="age", min_value=0)


def _edit(project: Project, **changes: Any) -> None:
    path = project.root / "data" / "people" / "expectations.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_missing_suite_says_how_to_draft_one(project: Project) -> None:
    (project.root / "data" / "people" / "expectations.json").unlink()
    with pytest.raises(SuiteError, match=r"towpath suite propose people"):
        _ = project.suite


def test_an_empty_suite_is_refused(project: Project) -> None:
    project.write_suite()
    with pytest.raises(SuiteError, match="no expectation; an empty suite passes everything"):
        _ = project.suite


def test_a_suite_that_could_refuse_nothing_is_refused(project: Project) -> None:
    project.write_suite({**AGE, "severity": "warning"}, {**AGE, "severity": "info"})
    with pytest.raises(SuiteError, match="could refuse nothing"):
        _ = project.suite


def test_a_suite_without_columns_is_refused(project: Project) -> None:
    _edit(project, meta={})
    with pytest.raises(SuiteError, match=r"meta\.towpath\.columns"):
        _ = project.suite


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"expectations": [{**AGE, "severty": "info"}]}, r"did you mean `severity`"),
        ({"expectations": [{**AGE, "severity": "fatal"}]}, r"expectations\.0\.severity"),
        ({"expectations": "many"}, "expectations"),
        ({"name": ""}, "name"),
        ({"expectation": []}, r"did you mean `expectations`"),
        ({"meta": {"towpath": {"columns": {"age": "int"}}}}, r"meta\.towpath\.columns\.age"),
        ({"meta": {"towpath": {"columns": {"age": "int64"}, "leak_bound": 0.3}}}, r"leak_bound"),
        ({"meta": {"towpath": {"columns": {}}}}, r"meta\.towpath\.columns"),
    ],
)
def test_a_malformed_suite_is_refused_by_the_keys_full_path(
    project: Project, changes: dict[str, Any], words: str
) -> None:
    _edit(project, **changes)
    with pytest.raises(SuiteError, match=words):
        _ = project.suite


@pytest.mark.parametrize("text", ["{", "[]", "null", '{"name": NaN}'])
def test_a_file_that_holds_no_suite_is_refused(project: Project, text: str) -> None:
    (project.root / "data" / "people" / "expectations.json").write_text(text)
    with pytest.raises(SuiteError):
        _ = project.suite


def test_an_expectation_about_a_column_that_nobody_listed_is_refused(project: Project) -> None:
    project.write_suite(AGE, expectation("expect_column_values_to_not_be_null", column="agee"))
    with pytest.raises(SuiteError, match=r"expectations\[1\].*`agee`"):
        _ = project.suite


def test_severity_is_critical_unless_the_suite_says_otherwise(project: Project) -> None:
    project.write_suite({"type": "expect_column_to_exist", "kwargs": {"column": "age"}})
    assert project.suite.expectations[0].severity == "critical"


def test_the_digest_is_of_what_a_suite_says_not_of_its_form(project: Project) -> None:
    path = project.root / "data" / "people" / "expectations.json"
    before = suite_digest("people", project.root)
    path.write_text(json.dumps(json.loads(path.read_text()), indent=4, sort_keys=True))
    assert suite_digest("people", project.root) == before == read_suite("people", project.root).digest
    project.write_suite({**AGE, "severity": "critical"}, AGE)
    assert suite_digest("people", project.root) != before


def test_the_columns_of_a_row_condition_are_read_too(project: Project) -> None:
    project.write_suite(
        expectation(
            "expect_column_values_to_not_be_null",
            column="income",
            row_condition='city == "Bern"',
            condition_parser="pandas",
        ),
        expectation("expect_column_pair_values_to_be_equal", column_A="income", column_B="age"),
        expectation("expect_compound_columns_to_be_unique", column_list=["city", "age"]),
        expectation("expect_table_row_count_to_be_between", min_value=1),
    )
    suite = project.suite
    columns = [columns_of(each, suite.meta.columns) for each in suite.expectations]
    assert columns == [("income", "city"), ("age", "income"), ("age", "city"), ()]
