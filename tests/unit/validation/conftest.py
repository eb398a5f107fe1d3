"""A project with one model, `people`, whose table and suite a test writes as it needs them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from components.stage.files import file_digest, write_json
from components.types.dataset import MANIFEST_FILE, TABLE_FILE, Column, ColumnType, DatasetManifest
from components.types.record import read
from components.validation.report import report_dir
from components.validation.stage import validate, verdict_path
from components.validation.suite import Suite, read_suite
from components.validation.table import Table, open_table
from components.validation.verdict import ValidationVerdict

TYPES = {pl.Float64: "float64", pl.Int64: "int64", pl.Boolean: "bool", pl.String: "string", pl.Datetime: "timestamp"}


def expectation(kind: str, severity: str = "critical", **kwargs: Any) -> dict[str, Any]:
    """Return one expectation as a suite holds it."""
    return {"type": kind, "kwargs": kwargs, "meta": {}, "severity": severity}


@dataclass(frozen=True)
class Project:
    """A project folder with one model."""

    root: Path
    model: str = "people"

    def write_table(self, frame: pl.DataFrame, label_inputs: Sequence[str] = ()) -> None:
        """Write the ingested dataset."""
        folder = self.root / "data" / self.model / "dataset"
        folder.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(folder / TABLE_FILE)
        columns = tuple(
            Column(name, ColumnType(TYPES.get(type(dtype), "string")), frame[name].null_count())
            for name, dtype in frame.schema.items()
        )
        manifest = DatasetManifest(
            model=self.model,
            digest=file_digest(folder / TABLE_FILE),
            rows=frame.height,
            columns=columns,
            id_column="id",
            label_column="bought",
            label_inputs=tuple(label_inputs),
            source_digest="0" * 64,
        )
        write_json(folder / MANIFEST_FILE, manifest)

    def write_suite(self, *expectations: dict[str, Any], **meta: Any) -> None:
        """Write the suite; its columns are those of `people` unless `columns` says otherwise."""
        columns = {name: TYPES[type(dtype)] for name, dtype in people().schema.items()}
        towpath = {"columns": columns, **meta}
        suite = {"name": self.model, "expectations": list(expectations), "meta": {"towpath": towpath}}
        path = self.root / "data" / self.model / "expectations.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(suite))

    @property
    def table(self) -> Table:
        """The dataset, opened."""
        return open_table(self.model, self.root)

    @property
    def suite(self) -> Suite:
        """The suite, read."""
        return read_suite(self.model, self.root)

    @property
    def report(self) -> Path:
        """The report's folder."""
        return report_dir(self.model, self.root)

    def validate(self) -> None:
        """Run the stage in this process."""
        validate(self.model, self.root)

    def verdict(self) -> ValidationVerdict | None:
        """Return the stage's output, or None where it left nothing."""
        path = verdict_path(self.model, self.root)
        return read(ValidationVerdict, path) if path.exists() else None

    def reported_verdict(self) -> ValidationVerdict:
        """Return the verdict that stands beside the report."""
        return read(ValidationVerdict, self.report / "verdict.json")


def people(rows: int = 200, seed: int = 0) -> pl.DataFrame:
    """Return a table that meets every check: two numbers, a string, a flag, a time, and a noisy binary label."""
    rng = np.random.default_rng(seed)
    age, income = rng.integers(18, 90, rows), rng.normal(3000, 800, rows).round(2)
    return pl.DataFrame(
        {
            "id": [f"person-{number:05d}" for number in range(rows)],
            "age": age.astype(np.int64),
            "income": income,
            "city": rng.choice(["Basel", "Bern", "Chur"], rows).tolist(),
            "member": rng.random(rows) < 0.3,
            "joined": pl.Series(1_600_000_000_000_000 + rng.integers(0, 10**14, rows)).cast(pl.Datetime("us")),
            "bought": ((age - 50) / 40 + rng.normal(0, 1, rows) > 0).astype(np.int64),
        }
    )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project whose table meets its suite."""
    made = Project(tmp_path)
    made.write_table(people())
    made.write_suite(expectation("expect_column_values_to_be_between", column="age", min_value=18, max_value=120))
    return made
