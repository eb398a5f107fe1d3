"""Rows of a table become input tensors: what is converted, what is missing, what is refused and by which words."""

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from components.errors import SchemaError
from components.runtime.arrow_arrays import as_mask, booleans, floats, nulls, numbers, texts
from components.runtime.tensors import input_tensors
from components.types.dataset import MISSING_STRING, ColumnType
from components.types.product import InputSpec


def spec(name, kind, nullable=False, shape=(), columns=None):
    return InputSpec(name, ColumnType(kind), shape, nullable, columns or (name,))


ALL = (
    spec("age", "float64"),
    spec("trips", "int64"),
    spec("cars", "float64", nullable=True),
    spec("member", "bool"),
    spec("insured", "float64", nullable=True),
    spec("city", "string"),
    spec("job", "string", nullable=True),
    spec("image", "float64", shape=(1, 2), columns=("p0", "p1")),
)
ROWS = {
    "p1": [1.0, 2.0, 3.0],
    "p0": [9.0, 8.0, 7.0],
    "age": [30.5, 1.0, 2.0],
    "trips": [1, 2, 3],
    "cars": [1, None, 3],
    "member": [True, False, True],
    "insured": [None, True, False],
    "city": ["Oslo", "Rome", "Oslo"],
    "job": ["cook", None, ""],
    "surplus": [[1], [2], [3]],
}


@pytest.fixture(params=["batch", "table", "polars", "slice", "chunks"])
def rows(request):
    table = pa.table(ROWS)
    return {
        "batch": lambda: table.to_batches()[0],
        "table": lambda: table,
        "polars": lambda: pl.DataFrame(ROWS),
        "slice": lambda: pa.concat_tables([table, table]).combine_chunks().slice(3),
        "chunks": lambda: pa.concat_tables([table.slice(0, 1), table.slice(1)]),
    }[request.param]()


def test_each_type_of_column_becomes_its_tensor(rows):
    tensors = input_tensors(rows, ALL)
    assert list(tensors) == [each.name for each in ALL]
    assert tensors["age"].tolist() == [30.5, 1, 2]
    assert tensors["trips"].tolist() == [1, 2, 3]
    np.testing.assert_array_equal(tensors["cars"], [1, np.nan, 3])
    assert tensors["member"].tolist() == [True, False, True]
    np.testing.assert_array_equal(tensors["insured"], [np.nan, 1, 0])
    assert tensors["city"].tolist() == ["Oslo", "Rome", "Oslo"]
    assert tensors["job"].tolist() == ["cook", MISSING_STRING, ""]
    assert tensors["image"].tolist() == [[[9, 1]], [[8, 2]], [[7, 3]]]
    assert {name: str(array.dtype) for name, array in tensors.items()} == {
        "age": "float64", "trips": "int64", "cars": "float64", "member": "bool", "insured": "float64",
        "city": "object", "job": "object", "image": "float64",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("column", "kind", "expected"),
    [
        (pa.array([1, 2], pa.int32()), "int64", [1, 2]),
        (pa.array([1, 2], pa.uint8()), "float64", [1, 2]),
        (pa.array([1.0, 2.0]), "int64", [1, 2]),
        (pa.array([1.5, 2.5], pa.float32()), "float64", [1.5, 2.5]),
        (pa.array([True, False]), "float64", [1, 0]),
        (pa.array(["a", "b"]).dictionary_encode(), "string", ["a", "b"]),
        (pa.array(["a", "b"], pa.large_string()), "string", ["a", "b"]),
        (pa.array(["a", "b"], pa.string_view()), "string", ["a", "b"]),
    ],
)
def test_a_value_of_another_width_is_converted_where_nothing_is_lost(column, kind, expected):
    assert input_tensors(pa.table({"x": column}), [spec("x", kind)])["x"].tolist() == expected


def test_a_column_of_nothing_but_gaps_is_taken_where_gaps_are():
    table = pa.table({"x": pa.nulls(2), "y": pa.nulls(2)})
    tensors = input_tensors(table, [spec("x", "float64", nullable=True), spec("y", "string", nullable=True)])
    assert np.isnan(tensors["x"]).all()
    assert tensors["y"].tolist() == [MISSING_STRING] * 2
    with pytest.raises(SchemaError, match="`x` has a missing value in row 0"):
        input_tensors(table, [spec("x", "int64")])


@pytest.mark.parametrize(
    ("column", "kind", "words"),
    [
        (pa.array([1.5, 2.0]), "int64", "column `x` cannot become int64"),
        (pa.array([2**60 + 1]), "float64", "column `x` cannot become float64"),
        (pa.array(["1", "2"]), "float64", "column `x` is string, expected float64"),
        (pa.array([1, 2]), "string", "column `x` is int64, expected string"),
        (pa.array([0, 1]), "bool", "column `x` is int64, expected bool"),
        (
            pa.array([1.0, None]),
            "float64",
            "input `x` has a missing value in row 101; give a value, or list the column",
        ),
        (pa.array([1.0, float("nan")]), "float64", "input `x` has a missing value in row 101"),
        (pa.array([1.0, float("-inf")]), "float64", "input `x` has an infinite value in row 101; give a finite number"),
        (pa.array(["a", None]), "string", "input `x` has a missing value in row 101"),
        (pa.array([1, None]), "int64", "input `x` has a missing value in row 101"),
        (pa.array([True, None]), "bool", "input `x` has a missing value in row 101"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_column_and_row(column, kind, words):
    with pytest.raises(SchemaError, match=words):
        input_tensors(pa.table({"x": column}), [spec("x", kind)], first_row=100)


def test_a_missing_column_and_a_missing_pixel_are_refused_by_name():
    with pytest.raises(SchemaError, match="column `age` is missing"):
        input_tensors(pa.table({"x": [1]}), [spec("age", "float64")])
    with pytest.raises(SchemaError, match="column `p1` is missing; expected: p0, p1"):
        input_tensors(pa.table({"p0": [1.0]}), [ALL[-1]])
    with pytest.raises(SchemaError, match="`p1` has a missing value in row 1"):
        input_tensors(pa.table({"p0": [1.0, 2.0], "p1": [1.0, None]}), [ALL[-1]])


@pytest.mark.parametrize("start", [0, 1, 7, 8, 9, 63, 100])
def test_buffers_are_read_at_any_offset(start):
    rng = np.random.default_rng(0)
    mask = rng.random(100) < 0.3
    values = {
        "float64": pa.array(rng.normal(size=100), mask=mask),
        "int64": pa.array(rng.integers(0, 9, 100), mask=mask),
        "bool": pa.array(rng.random(100) < 0.5, mask=mask),
    }
    words = pa.array(rng.choice(np.array(["a", "b", ""], dtype=object), 100), mask=mask).slice(start)
    assert texts(words, "?").tolist() == ["?" if each is None else each for each in words.to_pylist()]
    for array in (each.slice(start) for each in values.values()):
        assert nulls(array).tolist() == [each is None for each in array.to_pylist()]
        assert [None if np.isnan(each) else each for each in floats(array)] == array.to_pylist()
    whole = pa.array(np.arange(100)).slice(start)
    assert numbers(whole).tolist() == whole.to_pylist()
    flags = pa.array((np.arange(100) % 3 == 0).tolist()).slice(start)
    assert booleans(flags).tolist() == flags.to_pylist()
    assert as_mask(booleans(flags)).to_pylist() == flags.to_pylist()
