"""One column at a time, and what the gateway's process may import."""

import subprocess
import sys

import numpy as np
import pytest

from components.errors import SchemaError
from components.serving.columns import Leaf, checked_column
from components.types.dataset import MISSING_STRING, ColumnType

UNWANTED = {
    "pydantic",
    "polars",
    "pandas",
    "pyarrow",
    "yaml",
    "mlflow",
    "onnx",
    "sklearn",
    "prefect",
    "prometheus_client",
}


def test_the_mark_of_a_missing_string_is_refused_where_nothing_may_miss():
    strict = Leaf("city", ColumnType.STRING, nullable=False)
    with pytest.raises(SchemaError, match="row 1, column `city`: expected a string, and this column was complete"):
        checked_column(strict, ["Oslo", MISSING_STRING])
    lenient = Leaf("city", ColumnType.STRING, nullable=True)
    assert checked_column(lenient, ["Oslo", None]).tolist() == ["Oslo", MISSING_STRING]


@pytest.mark.parametrize("kind", [ColumnType.INT64, ColumnType.BOOL])
def test_integers_and_booleans_have_no_way_to_miss(kind):
    with pytest.raises(SchemaError, match="found null"):
        checked_column(Leaf("visits", kind, nullable=True), [None])


@pytest.mark.parametrize(
    ("kind", "values", "dtype"),
    [
        (ColumnType.FLOAT64, [1, 2.5, -0.0], np.float64),
        (ColumnType.INT64, [-(2**63), 2**63 - 1], np.int64),
        (ColumnType.BOOL, [True, False], np.bool_),
        (ColumnType.STRING, ["", "a\x00", "Łódź"], object),
    ],
)
def test_values_arrive_unchanged(kind, values, dtype):
    made = checked_column(Leaf("x", kind, nullable=False), values)
    assert (made.tolist(), made.dtype) == (values, dtype)


def test_the_gateway_imports_nothing_that_it_does_not_need(root):
    code = "import sys, components.serving.server; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert not UNWANTED & set(done.stdout.split())
