"""Identical input gives identical bytes: the table depends on its rows, and the manifest on nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from components.data.manifest import read_manifest
from components.data.table import TableWriter
from components.stage.files import file_digest
from components.types.dataset import MANIFEST_FILE, TABLE_FILE, ColumnType
from tests.data_project import MODEL, DataProject
from tests.tables import write_taxi_shaped

ROOT = Path(__file__).resolve().parents[3]
CONFIG = """models:
  trips:
    data:
      source: {kind: files, path: trips.csv}
      label: {name: big_tip, expression: tips > 0.2 * fare}
"""


def test_two_processes_with_other_numbers_of_threads_write_the_same_bytes(project: DataProject) -> None:
    write_taxi_shaped(project.root / "trips.csv", 20_000)
    project.files("trips.csv", label={"name": "big_tip", "expression": "tips > 0.2 * fare"})
    project.probe()
    project.write("pipelines/configs/trips.yaml", CONFIG)
    digests = []
    for threads in ("1", "2"):
        environment = {**os.environ, "POLARS_MAX_THREADS": threads, "OMP_NUM_THREADS": threads, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "components.data", MODEL]
        done = subprocess.run(command, cwd=project.root, env=environment, capture_output=True, text=True, check=True)
        assert "20000 rows, 20 columns" in done.stdout
        digests.append([file_digest(project.dataset / name) for name in (TABLE_FILE, MANIFEST_FILE)])
    assert digests[0] == digests[1]
    assert {path.name for path in project.dataset.iterdir()} == {TABLE_FILE, MANIFEST_FILE}


def test_bytes_do_not_depend_on_the_pieces_in_which_rows_arrive(tmp_path: Path) -> None:
    texts = [f"v{i * 7919 % 100_003} some text" if i % 5 else None for i in range(300_000)]
    frame = pl.DataFrame({"a": texts, "b": pl.int_range(300_000, eager=True) * 7919 % 1_000_003})
    frame = frame.with_columns(c=pl.when(pl.col("b") % 3 > 0).then(pl.col("b") / 7))
    types = {"a": ColumnType.STRING, "b": ColumnType.INT64, "c": ColumnType.FLOAT64}
    for name, size in (("one", 300_000), ("many", 7_001)):
        with TableWriter(tmp_path / name, types) as writer:
            for piece in frame.iter_slices(size):
                writer.write(piece)
        assert writer.rows == 300_000
    assert file_digest(tmp_path / "one") == file_digest(tmp_path / "many")
    metadata = pq.ParquetFile(tmp_path / "one").metadata
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [131_072, 131_072, 37_856]


def test_the_manifest_says_what_is_in_the_table(project: DataProject) -> None:
    manifest = project.csv("a,y\n1,x\n,z\n")
    assert manifest == read_manifest(MODEL, project.root)
    assert manifest.digest == file_digest(project.dataset / TABLE_FILE)
    assert [(column.name, column.type.value, column.nulls) for column in manifest.columns] == [
        ("row_id", "int64", 0),
        ("a", "int64", 1),
        ("y", "string", 0),
    ]
    assert (manifest.rows, manifest.label_column, manifest.label_inputs) == (2, "y", ())


def test_what_a_killed_ingest_left_is_removed(project: DataProject) -> None:
    leftover = project.root / "data/trips/.dataset.abc123"
    leftover.mkdir(parents=True)
    project.csv("a,y\n1,2\n")
    assert not leftover.exists()
