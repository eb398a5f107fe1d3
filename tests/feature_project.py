"""Small projects with an ingested, validated table, made from the contract of the dataset; no data stage needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
import yaml

from components.features.prepare import Preparation, prepare
from components.runtime.tensors import input_tensors
from components.stage.files import file_digest, write_json
from components.types.dataset import Column, ColumnType, DatasetManifest
from components.types.training import PreparedSpec

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"


def _type(arrow: pa.DataType) -> ColumnType:
    if pa.types.is_timestamp(arrow):
        return ColumnType.TIMESTAMP
    names = {pa.float64(): "float64", pa.int64(): "int64", pa.bool_(): "bool", pa.string(): "string"}
    return ColumnType(names[arrow])


class Project:
    """A project of one model called ``m``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(
        self, table: pa.Table, label: str, features: dict, id_column: str = "id", label_inputs: Sequence[str] = ()
    ) -> None:
        dataset = self.root / "data" / "m" / "dataset"
        dataset.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, dataset / "table.parquet", row_group_size=50_000)
        columns = tuple(Column(f.name, _type(f.type), table.column(f.name).null_count) for f in table.schema)
        digest = file_digest(dataset / "table.parquet")
        manifest = DatasetManifest(
            "m", digest, table.num_rows, columns, id_column, label, tuple(label_inputs), source_digest="0" * 64
        )
        write_json(dataset / "manifest.json", manifest)
        self.configure(features)
        write_json(self.verdict_path, {"success": True, "dataset_digest": digest})

    def configure(self, features: dict) -> None:
        path = self.root / "pipelines" / "configs" / "m.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump({"models": {"m": {"features": features}}}))

    @property
    def verdict_path(self) -> Path:
        return self.root / "out" / "m" / "validation" / "verdict.json"

    @property
    def prepared(self) -> Path:
        return self.root / "out" / "m" / "prepared"

    def prepare(self) -> Preparation:
        return prepare("m", self.root)

    def features(self, split: str = "train") -> np.ndarray:
        return np.load(self.prepared / f"{split}.features.npy")

    def rows(self, split: str = "train") -> pa.Table:
        return pq.read_table(self.prepared / f"{split}.parquet")

    def run_graph(self, spec: PreparedSpec, rows: pa.Table, nullable: bool = False) -> np.ndarray:
        """Run the stored graph on rows; `nullable` lets missing values through wherever they are."""
        session = onnxruntime.InferenceSession(self.prepared / "preprocessing.onnx", providers=["CPUExecutionProvider"])
        inputs = tuple(replace(each, nullable=each.nullable or nullable) for each in spec.inputs)
        return session.run(["features"], input_tensors(rows, inputs))[0]


def adult_table() -> pa.Table:
    """Return the Adult table with an id, or skip the test where it is not."""
    return _shared_csv("adult/adult.csv")


def taxi_table() -> pa.Table:
    """Return the Chicago taxi table with an id and a label, or skip the test where it is not."""
    table = _shared_csv("chicago-taxi/data.csv")
    tips, fare = (table.column(name).to_numpy() for name in ("tips", "fare"))
    table = table.set_column(table.schema.get_field_index("fare"), "fare", pa.array(fare.astype(float)))
    return table.append_column("big_tip", pa.array(tips > 0.2 * fare))


def _shared_csv(name: str) -> pa.Table:
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"the shared table {name} is not here")
    options = pacsv.ConvertOptions(null_values=["", "?"], strings_can_be_null=True)
    table = pacsv.read_csv(path, convert_options=options)
    return table.add_column(0, "id", pa.array(np.arange(table.num_rows)))
