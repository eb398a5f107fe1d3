"""Ids, dropped columns and names: what is added, what is left out, what is refused."""

from __future__ import annotations

import pytest

from components.errors import SchemaError
from tests.data_project import DataProject


def test_rows_are_numbered_where_no_id_is_named(project: DataProject) -> None:
    manifest = project.csv("a,y\n5,1\n6,2\n")
    assert manifest.id_column == "row_id"
    assert [column.name for column in manifest.columns] == ["row_id", "a", "y"]
    assert project.column("row_id") == [0, 1]


def test_a_named_id_takes_the_place_of_the_row_number(project: DataProject) -> None:
    manifest = project.csv("key,a,y\nx,1,1\nz,2,2\n", id="key")
    assert manifest.id_column == "key"
    assert project.table().columns == ["key", "a", "y"]


def test_a_dropped_column_is_not_read(project: DataProject) -> None:
    project.csv("a,b,y\n1,2,3\n", drop=["b"])
    assert project.table().columns == ["row_id", "a", "y"]


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("kez,y\n1,2\n", {"id": "key"}, r"the id is column `key`, which is not there \(did you mean `kez`\?\)"),
        ("key,y\n1.5,2\n", {"id": "key"}, "id `key` is float64"),
        ("key,y\n1,2\n,3\n", {"id": "key"}, "row 2: id `key` is missing"),
        ("row_id,y\n1,2\n", {}, "say `id: row_id`"),
        ("a,y\n1,2\n", {"id": "y"}, "`y` is both id and label"),
        ("a,y\n1,2\n", {"drop": ["c"]}, "`drop` names column `c`, which is not there"),
        ("a,y\n1,2\n", {"types": {"aa": "string"}}, r"`types` names column `aa`, .*did you mean `a`"),
        ("a,y\n1,2\n", {"drop": ["a", "y"]}, "no column is left"),
        ("a,y\n1,2024-01-01\n", {}, "label `y` is a timestamp"),
    ],
)
def test_a_configuration_that_does_not_fit_the_columns_is_refused(
    project: DataProject, content: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(SchemaError, match=message):
        project.csv(content, **options)
