"""What CSV text becomes: types over the whole file, missing values, and refusals that name the place."""

from __future__ import annotations

from datetime import datetime

import pytest

from components.errors import BadInputError, SchemaError, SourceError
from components.types.dataset import ColumnType
from tests.data_project import DataProject


def _types(project: DataProject, content: str, **options: object) -> dict[str, str]:
    manifest = project.csv(content, **options)
    return {column.name: column.type.value for column in manifest.columns if column.name not in ("row_id", "y")}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "-2", "+3"], "int64"),
        (["1", "2.5", "1e3"], "float64"),
        (["0.5", "0", "-0.25"], "float64"),
        (["nan", "1.5", "inf"], "float64"),
        (["true", "False", "TRUE"], "bool"),
        (["2024-01-02", "2024-01-02T03:04:05Z", "2024-01-02 03:04"], "timestamp"),
        (["1", "x", "2"], "string"),
        (["007", "008", "1"], "string"),
        (["12345678901234567890", "1", "2"], "string"),
        (["12345678901234567890", "1.5", "2"], "float64"),
        (["1_000", "2", "3"], "string"),
        (["", "", ""], "float64"),
        (["", "4", ""], "int64"),
    ],
)
def test_a_column_has_the_narrowest_type_that_holds_all_values(
    project: DataProject, values: list[str], expected: str
) -> None:
    rows = "".join(f"{value},1\n" for value in values)
    assert _types(project, f"a,y\n{rows}") == {"a": expected}


def test_the_last_value_of_a_long_file_decides_as_much_as_the_first(project: DataProject) -> None:
    many = "1,1\n" * 3_000_000
    assert _types(project, f"a,y\n{many}1.5,1\n") == {"a": "float64"}


def test_integers_with_missing_values_stay_integers(project: DataProject) -> None:
    manifest = project.csv("a,y\n1,1\n,2\n9007199254740993,3\n")
    assert project.column("a") == [1, None, 9007199254740993]
    assert next(column for column in manifest.columns if column.name == "a").nulls == 1


def test_an_empty_field_is_missing_whether_quoted_or_not(project: DataProject) -> None:
    project.csv('a,b,y\n,"",1\nx,"z",2\n')
    assert project.column("a") == [None, "x"]
    assert project.column("b") == [None, "z"]


def test_not_a_number_is_missing_and_infinity_is_not(project: DataProject) -> None:
    project.csv("a,y\nnan,1\ninf,2\n0.5,3\n")
    assert project.column("a") == [None, float("inf"), 0.5]


def test_markers_are_missing_values(project: DataProject) -> None:
    project.csv("a,b,y\n?,1,1\nx,?,2\n", csv={"missing": ["?"]})
    assert project.column("a") == [None, "x"]
    assert project.column("b") == [1, None]


def test_blanks_around_values_can_be_removed(project: DataProject) -> None:
    project.csv("a, b, y\n39, ?, 1\n40, x , 2\n", csv={"missing": ["?"], "strip": True})
    assert project.column("a") == [39, 40]
    assert project.column("b") == [None, "x"]


def test_blanks_around_values_stay_otherwise(project: DataProject) -> None:
    project.csv("a,y\n x ,1\n")
    assert project.column("a") == [" x "]


def test_times_become_utc(project: DataProject) -> None:
    project.csv("t,y\n2024-01-02T03:04:05+02:00,1\n2024-01-02,2\n,3\n")
    assert project.column("t") == [datetime(2024, 1, 2, 1, 4, 5), datetime(2024, 1, 2), None]


def test_a_configured_type_wins_over_the_inferred_one(project: DataProject) -> None:
    project.csv(
        "zip,when,flag,n,y\n123,1400269500,1,2.0,1\n,1362683700,0,3,2\n",
        types={"zip": "string", "when": "timestamp", "flag": "bool", "n": "int64"},
    )
    assert project.column("zip") == ["123", None]
    assert project.column("when") == [datetime(2014, 5, 16, 19, 45), datetime(2013, 3, 7, 19, 15)]
    assert project.column("flag") == [True, False]
    assert project.column("n") == [2, 3]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int64", "1.5"),
        ("float64", "many"),
        ("bool", "2"),
        ("timestamp", "yesterday"),
        ("int64", "9223372036854775808"),
    ],
)
def test_a_value_that_does_not_fit_its_configured_type_is_named_with_its_row(
    project: DataProject, kind: str, value: str
) -> None:
    with pytest.raises(SchemaError, match=rf"trips.csv, row 2: column `a` holds '{value}', which is not {kind}"):
        project.csv(f"a,y\n1,1\n{value},1\n", types={"a": kind})


def test_quotes_line_breaks_and_other_separators_are_read(project: DataProject) -> None:
    project.csv("a;y\n'x;\ny';1\n", csv={"separator": ";", "quote": "'"})
    assert project.column("a") == ["x;\ny"]


def test_tabs_separate_in_a_tsv(project: DataProject) -> None:
    project.write("trips.tsv", "a\ty\n1,5\t1\n")
    project.files("trips.tsv")
    project.run()
    assert project.column("a") == ["1,5"]


def test_a_byte_order_mark_and_windows_line_ends_are_no_data(project: DataProject) -> None:
    project.csv(b"\xef\xbb\xbfa,y\r\n1,2\r\n")
    assert project.table().rows() == [(0, 1, 2)]


def test_other_encodings_are_read_when_named(project: DataProject) -> None:
    project.csv("größe,y\nweiß,1\n".encode("latin-1"), csv={"encoding": "latin-1"})
    assert project.column("größe") == ["weiß"]


def test_a_file_without_a_header_gets_the_configured_names(project: DataProject) -> None:
    project.csv("1,2\n3,4\n", csv={"columns": ["a", "y"]})
    assert project.column("a") == [1, 3]


def test_hyphens_and_blanks_in_names_are_kept(project: DataProject) -> None:
    assert _types(project, "education-num,hours per week,y\n1,2,3\n") == {
        "education-num": ColumnType.INT64,
        "hours per week": ColumnType.INT64,
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("a,y\n", "gives no rows"),
        ("a,a,y\n1,2,3\n", "column `a` stands there more than once"),
        (",y\n1,2\n", "column 1 has no name"),
        ("a,y\n1,2\n3\n", "Expected 2 columns, got 1"),
        ("a,y\n1,2,3\n", "Expected 2 columns, got 3"),
        ("a,y\nx\ufdd0,1\n", r"row 1: column `a` holds the character U\+FDD0"),
        ("a,z\n1,2\n", r"the label is column `y`, which is not there"),
    ],
)
def test_an_unusable_file_is_refused_and_nothing_is_written(
    project: DataProject, content: str | bytes, message: str
) -> None:
    with pytest.raises(SchemaError, match=message):
        project.csv(content)
    assert not project.dataset.exists()
    assert sorted(path.name for path in project.dataset.parent.iterdir()) == ["source.json"]


@pytest.mark.parametrize("rows_before", [0, 3_000_000])
def test_bytes_that_are_not_text_are_refused_wherever_they_stand(project: DataProject, rows_before: int) -> None:
    with pytest.raises(BadInputError, match=r"(?i)utf-?8.*encoding"):
        project.csv(b"a,y\n" + b"1,2\n" * rows_before + b"\xff\xfe,2\n")


def test_an_unknown_encoding_is_named(project: DataProject) -> None:
    with pytest.raises(SourceError, match="unknown encoding: klingon"):
        project.csv("a,y\n1,2\n", csv={"encoding": "klingon"})


def test_a_refused_file_leaves_the_last_dataset(project: DataProject) -> None:
    before = project.csv("a,y\n1,2\n")
    with pytest.raises(SchemaError):
        project.csv("a,y\n1\n")
    assert project.table().rows() == [(0, 1, 2)]
    assert before.rows == 1
