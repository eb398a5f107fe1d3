"""Predicting whole files: every format, strictly, whole or not at all."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from components.errors import DigestMismatchError, SchemaError, SourceError
from components.serving.predict import predict_file
from components.types.product import ProductRef

FORMATS = ["csv", "parquet", "jsonl"]
TABLE = pl.DataFrame(
    {
        "patient": ["a,1", "b", "c"],
        "age": [40.0, None, 10.5],
        "visits": [2, 0, 5],
        "smoker": [True, False, False],
        "city": ["Oslo", None, "Łódź"],
        "label": [1, 0, 1],
    }
)
EXPECTED = [40 + 2_000 + 1e6 + 1e7, 500 + 2e7, 5_010.5]


def written(table, path):
    if path.suffix == ".csv":
        table.write_csv(path)
    elif path.suffix == ".parquet":
        table.write_parquet(path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_dicts()))
    return path


def read(path):
    if path.suffix == ".csv":
        return pl.read_csv(path)
    return pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_ndjson(path)


@pytest.mark.parametrize("given", FORMATS)
@pytest.mark.parametrize("wanted", FORMATS)
def test_every_format_is_read_and_written(products, tmp_path, given, wanted):
    source = written(TABLE, tmp_path / f"rows.{given}")
    seen = []
    target = tmp_path / "new" / f"predictions.{wanted}"
    assert predict_file(products["mixed"], source, target, batch_rows=2, progress=seen.append) == 3
    found = read(target)
    assert found.columns == ["patient", "label", "prediction"]
    assert found["prediction"].to_list() == EXPECTED
    assert found["patient"].to_list() == ["a,1", "b", "c"]
    assert found["label"].cast(pl.Int64).to_list() == [1, 0, 1]
    assert seen[-1] == 3
    assert sorted(each.name for each in target.parent.iterdir()) == [target.name]


def test_a_classifier_writes_a_probability_for_each_class(products, tmp_path):
    table = pl.DataFrame({f"feature_{index}": np.linspace(-1, 1, 7) * index for index in range(30)})
    predict_file(products["network"], written(table, tmp_path / "rows.parquet"), tmp_path / "out.parquet")
    found = pl.read_parquet(tmp_path / "out.parquet")
    assert found.columns == ["prediction", "probability_benign", "probability_malignant"]
    assert found["prediction"].to_list() == [
        "benign" if row[0] >= row[1] else "malignant" for row in found.select(pl.col("^probability_.*$")).rows()
    ]


def test_an_image_is_read_from_its_pixel_columns(products, tmp_path):
    table = pl.DataFrame({f"pixel_{index}": [1.0, 0.0] for index in range(4)})
    predict_file(products["image"], written(table, tmp_path / "rows.csv"), tmp_path / "out.csv")
    assert pl.read_csv(tmp_path / "out.csv")["prediction"].to_list() == [1, 0]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("column", "values", "parts"),
    [
        ("visits", [1, 2, None], ["visits", "row 3"]),
        ("age", [1.0, 2.0, float("inf")], ["row 3"]),
        ("smoker", [True, False, None], ["smoker", "row 3"]),
        ("visits", ["1", "2", "many"], ["visits"]),
        ("age", ["1", "2", "old"], ["age"]),
    ],
)
def test_a_bad_value_is_named_and_nothing_is_written(products, tmp_path, kind, column, values, parts):
    table = TABLE.with_columns(pl.Series(column, values))
    source = written(table, tmp_path / f"rows.{kind}")
    target = tmp_path / "out.csv"
    target.write_text("what was there")
    with pytest.raises(SchemaError) as caught:
        predict_file(products["mixed"], source, target, batch_rows=2)
    assert all(part in str(caught.value) for part in ["rows", *parts]), caught.value
    assert "\n" not in str(caught.value)
    assert target.read_text() == "what was there"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["out.csv", source.name]


def test_a_bad_cell_in_a_csv_is_named_by_row_and_column(products, tmp_path):
    rows = ["x,note"] + [f"{index},n" for index in range(300_000)]
    rows[250_001] = "oops,n"
    (tmp_path / "rows.csv").write_text("\n".join(rows))
    with pytest.raises(SchemaError, match="row 250001, column `x`: .*'oops'"):
        predict_file(products["sum"], tmp_path / "rows.csv", tmp_path / "out.csv")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_missing_column_is_named(products, tmp_path, kind):
    source = written(TABLE.drop("visits"), tmp_path / f"rows.{kind}")
    with pytest.raises(SchemaError, match="column `visits` is missing"):
        predict_file(products["mixed"], source, tmp_path / "out.csv")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_table_without_rows_is_refused(products, tmp_path, kind):
    source = written(TABLE.head(0), tmp_path / f"rows.{kind}")
    with pytest.raises(SchemaError, match="no rows"):
        predict_file(products["mixed"], source, tmp_path / "out.csv")


def test_a_column_that_the_prediction_would_replace_is_refused(products, tmp_path):
    source = written(TABLE.rename({"label": "prediction"}), tmp_path / "rows.csv")
    with pytest.raises(SchemaError, match="`prediction`, which the prediction would replace"):
        predict_file(products["mixed"], source, tmp_path / "out.csv")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x,x\n1,2\n", "`x` twice"),
        ("x\n1,2\n", "no CSV table"),
        ("", "no CSV table"),
        ("x\n\xff\xfe\n", "UTF-8"),
    ],
)
def test_what_is_no_csv_is_refused(products, tmp_path, text, sentence):
    (tmp_path / "rows.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises((SchemaError, SourceError), match=sentence):
        predict_file(products["sum"], tmp_path / "rows.csv", tmp_path / "out.csv")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"x": 1}\n{"x": NaN}\n', "row 2 is no JSON"),
        ('{"x": 1}\n[1]\n', "row 2 is no JSON object"),
        ('{"x": 1}\n{"y": 1}\n', "row 2: column `x` is missing"),
        ('{"x": 1}\n{"x": true}\n', "row 2, column `x`: expected double or null, found 'True'"),
        ('{"x": 1}\n{"x": 1, "y": 2}\n', "row 2: column `y` is not in every row"),
        ('{"x": 1, "y": 1}\n{"x": 1, "y": "a"}\n', "column `y` holds values of several types"),
        ('{"x": 1}\n\n', "row 2 is no JSON"),
    ],
)
def test_what_is_no_json_lines_is_refused(products, tmp_path, text, sentence):
    (tmp_path / "rows.jsonl").write_text(text)
    with pytest.raises(SchemaError, match=sentence):
        predict_file(products["sum"], tmp_path / "rows.jsonl", tmp_path / "out.csv")


def test_a_carried_column_may_not_change_its_type_between_batches(products, tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"x": 1, "y": 1}\n{"x": 1, "y": "a"}\n')
    with pytest.raises(SchemaError, match="changes its type"):
        predict_file(products["sum"], tmp_path / "rows.jsonl", tmp_path / "out.csv", batch_rows=1)


def test_endings_missing_files_and_the_source_itself_are_refused(products, tmp_path):
    source = written(pl.DataFrame({"x": [1.0]}), tmp_path / "rows.csv")
    with pytest.raises(SourceError, match=r"known are \.csv"):
        predict_file(products["sum"], source, tmp_path / "out.xlsx")
    with pytest.raises(SourceError, match="is no file"):
        predict_file(products["sum"], tmp_path / "none.csv", tmp_path / "out.csv")
    with pytest.raises(SourceError, match="also the file that is read"):
        predict_file(products["sum"], source, source)
    (tmp_path / "rows.parquet").write_bytes(b"no parquet")
    with pytest.raises(SourceError, match="cannot be read as Parquet"):
        predict_file(products["sum"], tmp_path / "rows.parquet", tmp_path / "out.csv")


def test_a_product_with_other_bytes_is_refused(products, tmp_path):
    source = written(pl.DataFrame({"x": [1.0]}), tmp_path / "rows.csv")
    with pytest.raises(DigestMismatchError):
        predict_file(ProductRef(products["sum"].directory, "0" * 64), source, tmp_path / "out.csv")


MEMORY = """
import sys
from pathlib import Path
from pathlib import Path
from components.serving.predict import predict_file
from components.types.product import ProductRef
predict_file(ProductRef(Path(sys.argv[1]), sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))
# not ru_maxrss, which begins at the caller's own peak
print(int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="peak memory is read from /proc, which is Linux's")
@pytest.mark.parametrize("kind", FORMATS)
def test_memory_does_not_grow_with_the_file(products, tmp_path, root, kind):
    def peak_mb(rows):
        table = pl.DataFrame({"x": np.arange(rows, dtype=np.float64), "note": ["some text to carry along"] * rows})
        source = written(table, tmp_path / f"rows-{rows}.{kind}")
        product = products["sum"]
        command = [sys.executable, "-c", MEMORY, str(product.directory), product.digest, str(source)]
        done = subprocess.run(
            [*command, str(tmp_path / f"out-{rows}.{kind}")], cwd=root, capture_output=True, check=True
        )
        return int(done.stdout)

    assert peak_mb(2_000_000) < peak_mb(200_000) + 150
