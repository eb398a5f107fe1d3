"""Of the log, every request counts once, in the columns and types in which the product was asked."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.errors import BadInputError, DigestMismatchError
from components.types.dataset import ColumnType, Task
from components.types.product import InputSpec
from components.types.release import ModelRef
from components.types.training import PreparedSpec
from pipelines.skew_rows import ID_COLUMN, comparable_inputs, read_spec, served_rows, training_rows

REF = ModelRef("rides", 3, "c" * 64)
INPUTS = (
    InputSpec("fare", ColumnType.FLOAT64, (), True, ("fare",)),
    InputSpec("city", ColumnType.STRING, (), True, ("city",)),
    InputSpec("status", ColumnType.INT64, (), False, ("status",)),
)
IMAGE = InputSpec("photo", ColumnType.FLOAT64, (2, 2), False, ("p0", "p1", "p2", "p3"))


def logged(
    folder: Path, rows: list[dict], version: int = 3, day: str = "2026-11-20", number: int = 1, digest: str = REF.digest
) -> Path:
    """Write a file of the log: `rows` say what is not usual."""
    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    usual = {
        "fare": 1.5, "city": "Oslo", "input:status": 0, "prediction": 1.0, "time": noon,
        "request_id": "r", "row": 0, "version": version, "digest": digest, "role": "stable", "status": 200,
    }  # fmt: skip
    table = pa.Table.from_pylist([{**usual, "request_id": f"r{place}", **row} for place, row in enumerate(rows)])
    types = {"time": pa.timestamp("us", tz="UTC"), "row": pa.int32(), "status": pa.int16()}
    for name, kind in types.items():
        table = table.set_column(table.schema.get_field_index(name), name, table[name].cast(kind))
    table = table.replace_schema_metadata({"towpath": json.dumps({"digest": digest})})
    target = folder / "rides" / f"date={day}" / f"20261120T120000.000000Z-v{version}-w0-1-{number}.parquet"
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, target)
    return target


def spec(inputs: tuple[InputSpec, ...] = INPUTS) -> PreparedSpec:
    return PreparedSpec(
        model="rides",
        task=Task.REGRESSION,
        inputs=inputs,
        classes=(),
        class_weights=(),
        target_mean=0.0,
        target_scale=1.0,
        feature_names=("fare",),
        image_shape=None,
        rows={"train": 3},
        dataset_digest="d" * 64,
        id_column="id",
        label_column="label",
    )


def test_shadows_failures_and_other_products_do_not_count(tmp_path: Path) -> None:
    logged(
        tmp_path,
        [
            {"fare": 1.0},
            {"fare": 2.0, "role": "canary"},
            {"fare": 3.0, "role": "shadow"},
            {"fare": 4.0, "status": 503},
        ],
    )
    logged(tmp_path, [{"fare": 5.0, "zone": "of another product"}], number=2, digest="f" * 64)
    logged(tmp_path, [{"fare": 6.0}], version=13, number=3)
    found = served_rows(tmp_path, REF, spec(), None)
    assert found["fare"].to_pylist() == [1.0, 2.0]
    assert found.column_names == ["fare", "city", "status", ID_COLUMN]


def test_an_input_called_like_a_column_of_the_log_is_the_input(tmp_path: Path) -> None:
    logged(tmp_path, [{"input:status": 7}])
    assert served_rows(tmp_path, REF, spec(), None)["status"].to_pylist() == [7]


def test_a_row_has_an_id_only_where_its_request_had_one_row(tmp_path: Path) -> None:
    logged(
        tmp_path,
        [
            {"request_id": "one"},
            {"request_id": "many", "row": 0},
            {"request_id": "many", "row": 1},
            {"request_id": "again"},
            {"request_id": "again"},
        ],
    )
    assert served_rows(tmp_path, REF, spec(), None)[ID_COLUMN].to_pylist() == ["one", None, None, "again", "again"]


def test_only_what_was_served_since_counts(tmp_path: Path) -> None:
    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    logged(tmp_path, [{"fare": 1.0, "time": noon.replace(hour=11)}, {"fare": 2.0, "time": noon}])
    logged(tmp_path, [{"fare": 3.0, "time": noon.replace(day=19)}], day="2026-11-19")
    assert served_rows(tmp_path, REF, spec(), noon)["fare"].to_pylist() == [2.0]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (INPUTS[:2], "`input:status` is int64 in the version and missing in the prepared data"),
        ((*INPUTS, IMAGE), "`photo` is missing in the version"),
        ((*INPUTS, InputSpec("zone", ColumnType.INT64, (), False, ("zone",))), "`zone` is missing in the version"),
        (
            (InputSpec("fare", ColumnType.INT64, (), False, ("fare",)), *INPUTS[1:]),
            "`fare` is double in the version and int64 in the prepared data",
        ),
    ],
)
def test_prepared_inputs_that_are_not_the_versions_are_refused(
    tmp_path: Path, inputs: tuple[InputSpec, ...], words: str
) -> None:
    logged(tmp_path, [{}])
    with pytest.raises(BadInputError, match=f"version 3 of rides takes other inputs .*{words}"):
        served_rows(tmp_path, REF, spec(inputs), None)


def test_a_file_that_the_log_did_not_write_is_named(tmp_path: Path) -> None:
    path = logged(tmp_path, [{}])
    pq.write_table(pq.ParquetFile(path).read().replace_schema_metadata(None), path)
    with pytest.raises(DigestMismatchError, match=path.name):
        served_rows(tmp_path, REF, spec(), None)


def test_a_log_without_the_version_is_insufficient_and_says_where(tmp_path: Path) -> None:
    logged(tmp_path, [{}], version=2)
    with pytest.raises(BadInputError, match=r"insufficient: .* no rows of version 3 of rides"):
        served_rows(tmp_path, REF, spec(), None)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = logged(tmp_path, [{}])
    path.write_bytes(b"PAR1 no")
    with pytest.raises(DigestMismatchError, match=path.name):
        served_rows(tmp_path, REF, spec(), None)


def test_training_rows_come_in_the_types_in_which_serving_asks(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": [11, 12, 13],
            "fare": pa.array([1, None, 0]),
            "city": pa.array(["Oslo", None, ""]).dictionary_encode(),
            "status": [1, 2, 0],
            "label": [0.0, 1.0, 2.0],
        }
    )
    pq.write_table(table, tmp_path / "train.parquet")
    logged(tmp_path / "log", [{}])
    like = served_rows(tmp_path / "log", REF, spec(), None)
    found = training_rows(tmp_path, spec(), like)
    assert found.schema.equals(like.schema)
    assert found.to_pydict() == {
        "fare": [1.0, None, 0.0], "city": ["Oslo", None, ""], "status": [1, 2, 0], ID_COLUMN: ["11", "12", "13"],
    }  # fmt: skip


def test_nan_in_training_is_a_missing_value_as_it_is_in_the_log(tmp_path: Path) -> None:
    table = pa.table({"id": ["a"], "fare": [float("nan")], "city": ["x"], "status": [1]})
    pq.write_table(table, tmp_path / "train.parquet")
    logged(tmp_path / "log", [{}])
    like = served_rows(tmp_path / "log", REF, spec(), None)
    assert training_rows(tmp_path, spec(), like)["fare"].null_count == 1


def test_an_image_is_no_column_to_compare() -> None:
    assert comparable_inputs(spec((*INPUTS, IMAGE))) == INPUTS
    with pytest.raises(BadInputError, match="an image and no other column"):
        comparable_inputs(spec((IMAGE,)))


def test_without_training_rows_the_model_has_to_run_first(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="a scheduled training leaves them .* `towpath run rides --no-register`"):
        read_spec(tmp_path, "rides")
