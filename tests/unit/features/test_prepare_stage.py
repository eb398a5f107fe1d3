"""What the prepare stage writes, what it refuses, and that the same input gives the same bytes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pytest

from components.errors import BadInputError, DigestMismatchError, SchemaError, SourceError, ValidationRefusedError
from components.stage.files import file_digest, tree_digest, write_json
from components.types import record
from components.types.dataset import Column, ColumnType, DatasetManifest
from components.types.training import PreparedSpec
from tests.tables import write_wide

ROOT = Path(__file__).resolve().parents[3]


def run_stage(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "components.features", *arguments]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=300)


def test_the_stage_writes_what_the_spec_says_and_nothing_else(project, people):
    project.write(people(), "label", {"task": "binary"})
    result = run_stage(project.root, "m")
    assert result.returncode == 0, result.stderr
    assert "8 inputs became" in result.stdout
    assert sorted(path.name for path in project.prepared.iterdir()) == [
        "features.json", "prepared.json", "preprocessing.onnx", "test.parquet",
        "train.features.npy", "train.parquet", "train.target.npy",
        "validation.features.npy", "validation.parquet", "validation.target.npy",
    ]  # fmt: skip
    spec = record.read(PreparedSpec, project.prepared / "prepared.json")
    assert sum(spec.rows.values()) == 2_000
    assert spec.classes == ("old", "young")
    assert spec.class_weights == (1.0, 1.0)
    for split in ("train", "validation"):
        assert project.features(split).dtype == np.float32
        assert project.features(split).shape == (spec.rows[split], spec.n_features)
        target = np.load(project.prepared / f"{split}.target.npy")
        assert target.dtype == np.int64
        assert [spec.classes[index] for index in target] == project.rows(split)["label"].to_pylist()
        assert project.rows(split).column_names == people(1).column_names


def test_rows_keep_the_tables_order_on_every_side(project, people):
    project.write(people(150_000), "label", {"task": "binary"})
    project.prepare()
    for split in ("train", "validation", "test"):
        ids = np.array(project.rows(split)["id"])
        assert (np.diff(ids) > 0).all()


def test_two_runs_in_two_folders_write_the_same_bytes(project, people, tmp_path):
    digests = set()
    for folder in ("here", "there/deeper"):
        project.root = tmp_path / folder
        project.write(people(150_000), "label", {"task": "binary", "columns": {"height": {"impute": "median"}}})
        assert run_stage(project.root, "m").returncode == 0
        digests.add(tree_digest(project.prepared))
    assert len(digests) == 1


def test_the_graph_is_a_valid_model_from_raw_columns_to_features(project, people):
    project.write(people(), "label", {"task": "binary"})
    spec = project.prepare().spec
    model = onnx.load(project.prepared / "preprocessing.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [each.name for each in model.graph.input] == [each.name for each in spec.inputs]
    assert [each.name for each in model.graph.output] == ["features"]


def test_statistics_are_of_the_train_split_alone(project, people):
    table = people(1_000)
    project.write(table, "label", {"task": "binary"})
    project.prepare()
    before = (project.prepared / "preprocessing.onnx").read_bytes()
    held_out = [*project.rows("test")["id"].to_pylist(), *project.rows("validation")["id"].to_pylist()]
    ages = np.array(table["age"]).copy()
    ages[held_out] = 1e6
    project.write(table.set_column(1, "age", pa.array(ages)), "label", {"task": "binary"})
    project.prepare()
    assert (project.prepared / "preprocessing.onnx").read_bytes() == before


def test_sums_of_large_close_numbers_do_not_cancel(project):
    rng = np.random.default_rng(0)
    table = pa.table({"id": np.arange(200_000), "x": 1e9 + rng.normal(0, 1, 200_000), "y": np.arange(200_000) % 2})
    project.write(table, "y", {"task": "binary"})
    project.prepare()
    features = project.features().astype(np.float64)
    assert features.mean() == pytest.approx(0, abs=1e-6)
    assert features.std() == pytest.approx(1, abs=1e-6)


def test_a_regression_target_is_standardised_on_train(project):
    rng = np.random.default_rng(0)
    prices = rng.gamma(2, 100, 2_000)
    table = pa.table({"id": np.arange(2_000), "x": rng.normal(size=2_000), "price": prices})
    project.write(table, "price", {"task": "regression"})
    spec = project.prepare().spec
    train = np.array(project.rows()["price"])
    assert (spec.target_mean, spec.target_scale) == pytest.approx((train.mean(), train.std()))
    for split in ("train", "validation"):
        target = np.load(project.prepared / f"{split}.target.npy")
        assert target.dtype == np.float32
        back = target * spec.target_scale + spec.target_mean
        np.testing.assert_allclose(back, np.array(project.rows(split)["price"]), rtol=1e-5)
    assert spec.classes == spec.class_weights == ()


def test_balanced_weights_make_rare_classes_count_as_much(project):
    labels = np.array(["rare", "common", "common", "common"] * 500)
    table = pa.table({"id": np.arange(2_000), "x": np.random.default_rng(0).normal(size=2_000), "y": labels.tolist()})
    project.write(table, "y", {"task": "binary", "class_weights": "balanced"})
    spec = project.prepare().spec
    counts = [project.rows()["y"].to_pylist().count(each) for each in spec.classes]
    assert [w * c for w, c in zip(spec.class_weights, counts, strict=True)] == pytest.approx([sum(counts) / 2] * 2)


@pytest.mark.parametrize(
    ("labels", "task", "words"),
    [
        (["a"] * 300, "binary", "has 1 classes; binary needs exactly 2"),
        (["a", "b", "c"] * 100, "binary", "has 3 classes; binary needs exactly 2"),
        (["a"] * 300, "multiclass", "has 1 classes; multiclass needs 2 to 1000"),
        ([1.5, 2.5, 3.5] * 100, "multiclass", "is float64; multiclass needs string or int64 or bool"),
        (["a", "b", "c"] * 100, "regression", "is string; regression needs float64 or int64"),
        ([4.0] * 300, "regression", "the target is 4 in every row of the train split"),
        ([None, "a", "b"] * 100, "binary", "column `y` is missing in row 0"),
    ],
)
def test_a_label_that_does_not_fit_the_task_is_refused(project, labels, task, words):
    table = pa.table({"id": np.arange(300), "x": np.arange(300.0), "y": labels})
    project.write(table, "y", {"task": task})
    with pytest.raises(SchemaError, match=words):
        project.prepare()


def test_a_class_that_only_newer_rows_have_is_refused(project):
    labels = ["a", "b"] * 140 + ["new"] * 20
    table = pa.table({"id": np.arange(300), "when": np.arange(300), "x": np.arange(300.0), "y": labels})
    project.write(table, "y", {"task": "multiclass", "split": {"by": "time", "column": "when"}})
    with pytest.raises(SchemaError, match="class 'new' does not occur in the train split"):
        project.prepare()


def test_a_table_that_was_not_validated_is_refused(project, people):
    project.write(people(300), "label", {"task": "binary"})
    good = json.loads(project.verdict_path.read_text())
    project.verdict_path.unlink()
    with pytest.raises(ValidationRefusedError, match="missing or unreadable"):
        project.prepare()
    for verdict, words in (
        ({}, "does not say"),
        ([True], "does not say"),
        ({**good, "success": False}, "does not say"),
        ({**good, "success": "yes"}, "does not say"),
        ({**good, "dataset_digest": "0" * 64}, "about another dataset"),
    ):
        write_json(project.verdict_path, verdict)
        with pytest.raises(ValidationRefusedError, match=words):
            project.prepare()
    assert not project.prepared.exists()


def test_bytes_that_are_not_those_of_the_manifest_are_refused(project, people):
    project.write(people(300), "label", {"task": "binary"})
    path = project.root / "data" / "m" / "dataset" / "table.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DigestMismatchError, match=r"table\.parquet has digest"):
        project.prepare()


def test_a_model_without_data_is_refused(project):
    project.configure({"task": "binary"})
    with pytest.raises(SourceError, match="run the ingest stage"):
        project.prepare()


def test_a_refusal_leaves_what_was_prepared_as_it_was(project, people):
    project.write(people(300), "label", {"task": "binary"})
    project.prepare()
    before = tree_digest(project.prepared)
    project.configure({"task": "regression"})
    result = run_stage(project.root, "m")
    assert result.returncode == BadInputError.exit_code
    assert result.stderr.strip() == (
        "features: data/m/dataset/table.parquet: label `label` is string; regression needs float64 or int64"
    )
    assert tree_digest(project.prepared) == before
    assert [path.name for path in (project.root / "out" / "m").iterdir() if path.name.startswith(".")] == []


def test_preparing_imports_neither_pandas_nor_scikit_learn(project, people):
    project.write(people(300), "label", {"task": "binary"})
    code = (
        "import sys; from components.features.prepare import prepare; prepare('m'); "
        "assert not {'pandas', 'sklearn', 'torch', 'tensorflow'} & set(sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], cwd=project.root, env=environment, check=True, timeout=120)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from /proc")
def test_memory_stays_bounded_as_the_table_grows(project):
    peaks = {}
    for rows in (200_000, 2_000_000):
        dataset = project.root / "data" / "m" / "dataset"
        dataset.mkdir(parents=True, exist_ok=True)
        write_wide(dataset / "table.parquet", rows)
        write_ids(dataset / "table.parquet")
        digest = file_digest(dataset / "table.parquet")
        columns = (
            Column("id", ColumnType.INT64, 0),
            *(Column(f"x_{i:02d}", ColumnType.FLOAT64, 0) for i in range(19)),
            Column("label", ColumnType.INT64, 0),
        )
        write_json(dataset / "manifest.json", DatasetManifest("m", digest, rows, columns, "id", "label", (), "0" * 64))
        project.configure({"task": "binary"})
        write_json(project.verdict_path, {"success": True, "dataset_digest": digest})
        peaks[rows] = measure_peak_bytes(project.root)
    # 16 bytes a row stay in memory (side, label, hash and its copy); the table itself is 168 bytes a row
    assert peaks[2_000_000] - peaks[200_000] < 1_800_000 * 60


def write_ids(path: Path) -> None:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as source:
        first = 0
        schema = source.schema_arrow.insert(0, pa.field("id", pa.int64()))
        with pq.ParquetWriter(path.with_suffix(".new"), schema) as sink:
            for batch in source.iter_batches(100_000):
                ids = pa.array(np.arange(first, first + batch.num_rows))
                sink.write_table(pa.Table.from_arrays([ids, *batch.columns], schema=schema))
                first += batch.num_rows
    path.with_suffix(".new").replace(path)


def measure_peak_bytes(root: Path) -> int:
    # VmHWM, because getrusage's maximum is handed down from the process that started this one
    code = (
        "from pathlib import Path; from components.features.prepare import prepare; prepare('m'); "
        "print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True, timeout=300)
    return int(result.stdout) * 1024
