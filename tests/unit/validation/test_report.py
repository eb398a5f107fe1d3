"""The report stands alone, shows what failed, and is the only place that shows values."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import polars as pl
import pytest

from components.errors import ValidationRefusedError
from components.validation.checks import BAD_ROWS_CAP
from components.validation.histogram import histogram, svg

from .conftest import Project, expectation, people

BETWEEN = "expect_column_values_to_be_between"
SECRET = "Zanzibar-4711"


class _Links(HTMLParser):
    """Collects everything that would make a browser fetch something."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "link", "iframe", "object", "embed", "base", "img"}:
            self.found.append(tag)
        self.found += [name for name, _ in attrs if name in {"src", "href", "srcset", "xlink:href", "onload"}]


def _refuse(project: Project) -> str:
    with pytest.raises(ValidationRefusedError) as refusal:
        project.validate()
    return str(refusal.value)


def test_the_report_needs_nothing_else(project: Project) -> None:
    project.validate()
    page = (project.report / "index.html").read_text()
    links = _Links()
    links.feed(page)
    assert links.found == []
    assert not re.search(r"https?:|//[a-z]|url\(|@import", page)


def test_the_report_draws_every_column_but_the_id(project: Project) -> None:
    project.validate()
    page = (project.report / "index.html").read_text()
    assert page.count("<svg") == len(people().columns) - 1


def test_values_from_the_table_cannot_become_markup(project: Project) -> None:
    project.write_table(people().with_columns(city=pl.lit('<script>alert("x")</script>')))
    project.write_suite(expectation("expect_column_values_to_be_in_set", column="city", value_set=["Bern"]))
    _refuse(project)
    page = (project.report / "index.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_rows_at_fault_stand_beside_the_report_with_id_and_value(project: Project) -> None:
    frame = people().with_columns(
        city=pl.when(pl.int_range(pl.len()) == 17).then(pl.lit(SECRET)).otherwise(pl.col("city"))
    )
    project.write_table(frame)
    project.write_suite(
        expectation("expect_column_values_to_be_in_set", column="city", value_set=["Basel", "Bern", "Chur"])
    )
    message = _refuse(project)
    lines = pl.read_csv(project.report / "bad_rows.csv")
    assert lines.rows() == [("expectations[0]", 17, "person-00017", "city", SECRET)]
    assert SECRET not in message
    assert "person-00017" not in message
    assert SECRET not in (project.report / "verdict.json").read_text()
    assert "index.html" in message


def test_rows_at_fault_are_capped_for_each_rule(project: Project) -> None:
    project.write_table(people(1000))
    project.write_suite(
        expectation(BETWEEN, column="age", max_value=1), expectation(BETWEEN, column="income", max_value=1)
    )
    _refuse(project)
    counts = pl.read_csv(project.report / "bad_rows.csv", infer_schema=False)["rule"].value_counts()
    assert set(counts["count"]) == {BAD_ROWS_CAP}
    assert len(counts) == 2


def test_a_report_replaces_the_one_before(project: Project) -> None:
    project.write_suite(expectation(BETWEEN, column="age", max_value=1))
    _refuse(project)
    assert (project.report / "bad_rows.csv").exists()
    project.write_suite(expectation(BETWEEN, column="age", min_value=1))
    project.validate()
    assert not (project.report / "bad_rows.csv").exists()
    assert sorted(path.name for path in project.report.iterdir()) == ["index.html", "verdict.json"]


def test_the_message_names_a_few_failures_and_counts_the_others(project: Project) -> None:
    project.write_suite(*(expectation(BETWEEN, column="age", max_value=bound) for bound in range(1, 9)))
    message = _refuse(project)
    assert message.count(BETWEEN) == 5
    assert "and 3 more" in message
    assert "\n" not in message


def test_the_verdict_is_the_same_bytes_every_time(project: Project) -> None:
    path = project.root / "out" / "people" / "validation" / "verdict.json"
    project.validate()
    first = path.read_bytes()
    project.validate()
    assert path.read_bytes() == first
    assert (project.report / "verdict.json").read_bytes() == first
    assert str(project.root) not in first.decode()
    assert json.loads(first)["dataset_digest"] == project.table.manifest.digest


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        (pl.Series("x", [1.0, 2.0, None, float("nan")]), 2),
        (pl.Series("x", [float(each) for each in range(1000)]), 24),
        (pl.Series("x", ["a", "b", "b", None]), 2),
        (pl.Series("x", [f"name {each}" for each in range(50)]), 9),
        (pl.Series("x", [True, False, None]), 2),
        (pl.Series("x", [0, 10**15]).cast(pl.Datetime("us")), 2),
        (pl.Series("x", [float("inf"), float("-inf")]), 0),
        (pl.Series("x", [None, None], dtype=pl.Float64), 0),
        (pl.Series("x", [5, 5, 5]), 1),
    ],
)
def test_a_histogram_counts_every_value_that_is_there(values: pl.Series, bars: int) -> None:
    picture = histogram(values)
    assert len(picture.counts) == len(picture.labels) == bars
    if bars:
        missing = values.is_null().sum() + (values.is_nan().sum() if values.dtype.is_float() else 0)
        assert sum(picture.counts) == len(values) - missing
        assert picture.missing == missing
        assert svg(picture).count("<rect") == bars
