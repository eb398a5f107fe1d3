"""The label: a column, or an expression over one row whose columns are no features."""

from __future__ import annotations

import pytest

from components.data.config import LabelSection
from components.data.label import check_label
from components.errors import SchemaError
from components.types.dataset import ColumnType
from tests.data_project import DataProject

TRIPS = "tips,fare,n\n3.0,12.0,1\n0.0,0.0,2\n2.47,12.35,3\n"


def test_a_label_is_derived_by_an_expression(project: DataProject) -> None:
    manifest = project.csv(TRIPS, label={"name": "big_tip", "expression": "tips > 0.2 * fare"})
    assert project.column("big_tip") == [True, False, False]
    assert manifest.label_column == "big_tip"
    assert manifest.label_inputs == ("tips", "fare")
    assert project.table().columns == ["row_id", "tips", "fare", "n", "big_tip"]


def test_a_kept_column_may_be_a_feature(project: DataProject) -> None:
    label = {"name": "big_tip", "expression": "tips > 0.2 * fare", "keep": ["fare"]}
    assert project.csv(TRIPS, label=label).label_inputs == ("tips",)


@pytest.mark.parametrize(
    ("expression", "kind", "values"),
    [
        ("CASE WHEN tips > 1 THEN 'much' ELSE 'little' END", ColumnType.STRING, ["much", "little", "much"]),
        ("n + 1", ColumnType.INT64, [2, 3, 4]),
        ("tips / 2", ColumnType.FLOAT64, [1.5, 0.0, 1.235]),
        ("n IN (1, 3)", ColumnType.BOOL, [True, False, True]),
        ("0.5 * n", ColumnType.FLOAT64, [0.5, 1.0, 1.5]),
    ],
)
def test_an_expression_gives_any_type_of_label(
    project: DataProject, expression: str, kind: ColumnType, values: list[object]
) -> None:
    manifest = project.csv(TRIPS, label={"name": "y", "expression": expression})
    assert manifest.columns[-1].type is kind
    assert project.column("y") == values


def test_hyphens_are_quoted_in_an_expression(project: DataProject) -> None:
    manifest = project.csv("education-num,a\n9,1\n13,2\n", label={"name": "y", "expression": '"education-num" > 10'})
    assert project.column("y") == [False, True]
    assert manifest.label_inputs == ("education-num",)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("tips >", "is not SQL"),
        ("tips > avg(fare)", "looks at other rows"),
        ("tips > avg(fare) OVER (PARTITION BY n)", "looks at other rows"),
        ("lag(tips) OVER (ORDER BY n) > 1", "looks at other rows"),
        ("tips > (SELECT 1)", "looks at other rows"),
        ("row_number() OVER (ORDER BY n)", "looks at other rows"),
        ("count(*)", "looks at other rows"),
        ("1 > 0", "names no column"),
        ("tips > 0.2 * fair", r"uses column `fair`, which is not there \(did you mean `fare`\?\)"),
        ("nosuchfunction(tips)", "is not SQL"),
        ("tips > 'much'", "label `y`"),
    ],
)
def test_an_expression_that_cannot_be_used_is_refused(project: DataProject, expression: str, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        project.csv(TRIPS, label={"name": "y", "expression": expression})


def test_a_derived_label_may_not_replace_a_column(project: DataProject) -> None:
    with pytest.raises(SchemaError, match="label `fare` is derived, and the source has such a column"):
        project.csv(TRIPS, label={"name": "fare", "expression": "tips > 1"})


def test_keep_names_columns_of_the_expression_only() -> None:
    section = LabelSection(name="y", expression="tips > 1", keep=("fare",))
    with pytest.raises(SchemaError, match="`label.keep` names column `fare`"):
        check_label(section, {"tips": ColumnType.FLOAT64, "fare": ColumnType.FLOAT64})


@pytest.mark.parametrize("label", ["y", {"name": "big", "expression": "y > 1"}, {"name": "big", "expression": "y / y"}])
def test_a_row_without_a_label_is_refused_by_its_number(project: DataProject, label: object) -> None:
    with pytest.raises(SchemaError, match=r"trips.csv, row 3: label .* unlabelled: drop"):
        project.csv("a,y\n1,1\n2,2\n3,\n4,0\n", label=label)


def test_rows_without_a_label_are_left_out_and_counted_when_asked(project: DataProject) -> None:
    label = {"name": "big", "expression": "y > 1", "unlabelled": "drop"}
    manifest = project.csv("a,y\n1,\n2,2\n3,\n4,0\n", label=label)
    assert (manifest.rows, manifest.unlabelled_rows) == (2, 2)
    assert project.column("row_id") == [1, 3]
    assert [column.nulls for column in manifest.columns] == [0, 0, 0, 0]


def test_a_source_in_which_no_row_has_a_label_is_refused(project: DataProject) -> None:
    with pytest.raises(SchemaError, match="gives no rows; all 2 have no label"):
        project.csv("a,y\n1,\n2,\n", label={"name": "y", "unlabelled": "drop"})
