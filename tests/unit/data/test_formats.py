"""Parquet, JSON lines, compressed and several files: the same rows give the same table, however they are written."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.errors import BadInputError, SchemaError, SourceError
from tests.data_project import DataProject
from tests.tables import write_taxi_shaped

LABEL = {"name": "big_tip", "expression": "tips > 0.2 * fare", "keep": ["fare"]}


def _parquet(project: DataProject, **columns: object) -> None:
    pl.DataFrame(columns, strict=False).write_parquet(project.root / "trips.parquet")
    project.files("trips.parquet")


def _gzipped(path: Path) -> None:
    write_taxi_shaped(plain := path.with_suffix(""), 3_000)
    path.write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()


def _two_files(path: Path) -> None:
    write_taxi_shaped(path, 3_000)
    lines = path.read_text().splitlines(keepends=True)
    path.with_stem("trips2").write_text(lines[0] + "".join(lines[1_001:]))
    path.write_text("".join(lines[:1_001]))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("trips.parquet", lambda path: write_taxi_shaped(path, 3_000)),
        ("trips.jsonl", lambda path: write_taxi_shaped(path, 3_000)),
        ("trips.csv.gz", _gzipped),
        ("trips.csv", _two_files),
    ],
)
def test_the_same_rows_give_the_same_bytes_in_every_format(
    project: DataProject, name: str, write: Callable[[Path], None]
) -> None:
    write_taxi_shaped(project.root / "plain.csv", 3_000)
    project.files("plain.csv", label=LABEL)
    expected = project.run()
    write(project.root / name)
    project.files(name.replace("trips", "trips*"), label=LABEL)
    assert project.run().digest == expected.digest


def test_parquet_types_become_the_five(project: DataProject) -> None:
    _parquet(
        project,
        small=pl.Series([1, None, 3], dtype=pl.Int8),
        single=pl.Series([0.5, float("nan"), None], dtype=pl.Float32),
        exact=[Decimal("1.50"), None, Decimal("2.25")],
        kind=pl.Series(["x", None, "y"], dtype=pl.Categorical),
        day=[date(2024, 1, 2), None, None],
        moment=pl.Series([datetime(2024, 1, 2, 3, tzinfo=UTC)] * 3).dt.convert_time_zone("Asia/Tokyo"),
        nothing=pl.Series([None] * 3, dtype=pl.Null),
        y=[True, False, True],
    )
    project.run()
    assert project.table().drop("row_id").schema == {
        "small": pl.Int64,
        "single": pl.Float64,
        "exact": pl.Float64,
        "kind": pl.String,
        "day": pl.Datetime("us"),
        "moment": pl.Datetime("us"),
        "nothing": pl.Float64,
        "y": pl.Boolean,
    }
    assert project.column("single") == [0.5, None, None]
    assert project.column("moment")[0] == datetime(2024, 1, 2, 3)


def test_an_empty_string_in_parquet_is_a_value(project: DataProject) -> None:
    _parquet(project, a=["", None, "x"], y=[1, 2, 3])
    project.run()
    assert project.column("a") == ["", None, "x"]


def test_a_column_of_lists_is_refused_unless_dropped(project: DataProject) -> None:
    _parquet(project, a=[[1], [2]], y=[1, 2])
    with pytest.raises(SchemaError, match=r"column `a` is of type List\(Int64\)"):
        project.run()
    project.settings["drop"] = ["a"]
    assert project.run().rows == 2


def test_a_whole_number_too_large_is_refused_by_its_row(project: DataProject) -> None:
    _parquet(project, a=pl.Series([1, 2**64 - 1], dtype=pl.UInt64), y=[1, 2])
    with pytest.raises(SchemaError, match="trips.parquet, row 2: column `a` holds 18446744073709551615"):
        project.run()


def test_columns_of_one_name_in_parquet_are_refused(project: DataProject) -> None:
    table = pa.table([pa.array([1]), pa.array([2]), pa.array([3])], names=["a", "a", "y"])
    pq.write_table(table, project.root / "trips.parquet")
    project.files("trips.parquet")
    with pytest.raises(SchemaError, match="column `a` stands there more than once"):
        project.run()


@pytest.mark.parametrize("keep", [0, 200, -10])
def test_a_damaged_parquet_file_is_refused(project: DataProject, keep: int) -> None:
    _parquet(project, a=list(range(1000)), y=list(range(1000)))
    path = project.root / "trips.parquet"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(SourceError, match="trips.parquet is not a Parquet file"):
        project.run()


def test_a_text_in_parquet_that_is_not_utf8_is_refused(project: DataProject) -> None:
    offsets, content = pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")
    broken = pa.Array.from_buffers(pa.string(), 1, [None, offsets, content])
    pq.write_table(pa.table({"a": broken, "y": [1]}), project.root / "trips.parquet")
    project.files("trips.parquet")
    with pytest.raises(SourceError, match=r"trips.parquet is damaged after row 0: .*UTF8"):
        project.run()


def test_integers_and_floats_in_two_files_are_floats(project: DataProject) -> None:
    pl.DataFrame({"a": [1], "y": [1]}).write_parquet(project.root / "1.parquet")
    pl.DataFrame({"y": [2], "a": [1.5]}).write_parquet(project.root / "2.parquet")
    project.files("*.parquet")
    project.run()
    assert project.column("a") == [1.0, 1.5]
    assert project.column("y") == [1, 2]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("a,z,y\n1,2,3\n", "2.csv has `z` besides, unlike 1.csv"),
        ("y\n1\n", "2.csv lacks `a`, unlike 1.csv"),
    ],
)
def test_files_with_other_columns_are_refused(project: DataProject, second: str, message: str) -> None:
    project.write("1.csv", "a,y\n1,2\n")
    project.write("2.csv", second)
    project.files("*.csv")
    with pytest.raises(SchemaError, match=message):
        project.run()


def test_a_column_of_two_types_in_two_files_is_refused(project: DataProject) -> None:
    pl.DataFrame({"a": [1], "y": [1]}).write_parquet(project.root / "1.parquet")
    pl.DataFrame({"a": ["x"], "y": [2]}).write_parquet(project.root / "2.parquet")
    project.files("*.parquet")
    with pytest.raises(SchemaError, match="2.parquet: column `a` is string here and int64 before"):
        project.run()


def test_files_of_two_formats_are_refused(project: DataProject) -> None:
    project.write("1.csv", "a,y\n1,2\n")
    project.write("2.jsonl", '{"a":1,"y":2}\n')
    project.files("[12].*")
    with pytest.raises(SchemaError, match=r"files of several formats \(csv, jsonl\)"):
        project.run()


def test_a_field_that_a_json_line_leaves_out_is_missing(project: DataProject) -> None:
    project.write("t.jsonl", '{"a":1,"y":1}\n\n{"y":2,"b":"2024-01-02"}\n{"a":2.5,"y":3,"b":null}\n')
    project.files("t.jsonl")
    project.run()
    assert project.column("a") == [1.0, None, 2.5]
    assert project.column("b") == [None, "2024-01-02", None]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a":1,"y":1}\n{"a":"x","y":1}\n', r"t.jsonl, row 2: Column\(/a\) changed from number to string"),
        (b'{"a":1,"y":1}\n{"a":2,\n', "t.jsonl, row 2"),
        (b"[1]\n", "t.jsonl, row 1.*one flat JSON object per line"),
        (b'{"a":{"b":1},"y":1}\n', r"column `a` is of type Struct"),
        (b'{"a":1,"a":2,"y":1}\n', "specified twice"),
        (b'{"a":"\xff","y":1}\n', "(?i)invalid UTF8"),
        (b"", "t.jsonl is empty"),
    ],
)
def test_unusable_json_lines_are_refused(project: DataProject, content: bytes, message: str) -> None:
    project.write("t.jsonl", content)
    project.files("t.jsonl")
    with pytest.raises(BadInputError, match=message):
        project.run()
