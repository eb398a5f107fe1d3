"""Rows of a prepared split as values of tf.train.Examples: nothing that is there is taken for missing."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.errors import SchemaError
from components.training.tfx.exact import exact_name
from components.training.tfx.examples import example_batches, example_columns, label_type
from components.types.dataset import ColumnType, Task
from components.types.product import InputSpec


def plain(name, kind, *, nullable=True):
    return InputSpec(name, kind, (), nullable, (name,))


@pytest.fixture
def columns(spec):
    """Return what some columns become, by the names and types of their inputs."""

    def make(table, *inputs, exact=(), **changes):
        rows = len(next(iter(table.values())))
        full = pa.table({"id": list(range(rows)), "tipped": ["no"] * rows, **table})
        changed = dataclasses.replace(spec, inputs=inputs, **changes)
        return example_columns(full.combine_chunks().to_batches()[0], changed, exact).to_pydict()

    return make


def test_zeros_false_and_empty_strings_survive_and_missing_values_are_missing(columns):
    table = {
        "fare": pa.array([0.0, None, float("nan"), 2.5]),
        "stops": [0, 1, 2, 3],
        "night": [False, True, False, True],
        "company": ["", None, "a", "ü"],
    }

    made = columns(
        table,
        plain("fare", ColumnType.FLOAT64),
        plain("stops", ColumnType.INT64),
        plain("night", ColumnType.BOOL),
        plain("company", ColumnType.STRING),
    )

    assert made["fare"] == [[0.0], None, None, [2.5]]
    assert made["stops"] == [[0], [1], [2], [3]]
    assert made["night"] == [[0], [1], [0], [1]]
    assert made["company"] == [[b""], None, [b"a"], ["ü".encode()]]
    assert made["id"] == [[b"0"], [b"1"], [b"2"], [b"3"]]
    assert made["tipped"] == [[b"no"]] * 4


def test_whole_number_that_may_be_missing_becomes_what_its_input_is(columns):
    made = columns({"area": pa.array([0, None, 7])}, plain("area", ColumnType.FLOAT64))

    assert made["area"] == [[0.0], None, [7.0]]


def test_bits_beside_a_number_are_those_of_its_float64(columns):
    values = [-87.654_321_098_765, None, 0.0]

    made = columns({"longitude": pa.array(values)}, plain("longitude", ColumnType.FLOAT64), exact=["longitude"])

    bits = np.array(made[exact_name("longitude")])[:, 0]
    found = bits.astype(np.int64).view(np.float64)
    np.testing.assert_array_equal(found, [values[0], np.nan, 0.0])


def test_image_is_one_list_of_its_pixels_row_by_row(columns):
    names = ("p00", "p01", "p10", "p11")
    image = InputSpec("image", ColumnType.FLOAT64, (2, 2), nullable=False, columns=names)

    made = columns({name: [float(index), 10.0 + index] for index, name in enumerate(names)}, image)

    assert made["image"] == [[0.0, 1.0, 2.0, 3.0], [10.0, 11.0, 12.0, 13.0]]


@pytest.mark.parametrize(
    ("classes", "kind"),
    [(("a", "b"), ColumnType.STRING), ((0, 1), ColumnType.INT64), ((False, True), ColumnType.BOOL), ((), "float64")],
)
def test_label_has_the_type_of_its_classes(spec, classes, kind):
    task = Task.MULTICLASS if classes else Task.REGRESSION

    assert label_type(dataclasses.replace(spec, classes=classes, task=task)) == kind


def test_rows_keep_their_order_over_many_batches(spec, tmp_path, monkeypatch):
    monkeypatch.setattr("components.training.tfx.examples.BATCH_VALUES", 6)
    path = tmp_path / "train.parquet"
    pq.write_table(pa.table({"id": range(7), "tipped": ["no"] * 7, "fare": [float(i) for i in range(7)]}), path)

    batches = [each.to_pydict() for each in example_batches(path, spec)]

    assert [len(each["fare"]) for each in batches] == [2, 2, 2, 1]
    assert [value for each in batches for value in each["fare"]] == [[float(i)] for i in range(7)]


def test_missing_column_and_text_for_a_number_are_refused_by_name(spec, columns, tmp_path):
    path = tmp_path / "train.parquet"
    pq.write_table(pa.table({"id": [1], "tipped": ["no"]}), path)

    with pytest.raises(SchemaError, match="column `fare` is missing"):
        list(example_batches(path, spec))
    with pytest.raises(SchemaError, match="`fare` is string"):
        columns({"fare": ["much"]}, plain("fare", ColumnType.FLOAT64))
