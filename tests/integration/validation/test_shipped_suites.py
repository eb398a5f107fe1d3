"""The suites that are shipped pass the tables that are shipped, and refuse them when they are spoilt."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from components.data.config import DataSection, SklearnSource
from components.data.ingest import ingest
from components.data.manifest import read_manifest
from components.data.probe import write_probe
from components.errors import ValidationRefusedError
from components.stage.config import config_path, read_section
from components.stage.files import file_digest, write_json
from components.types.record import dump, read
from components.validation.expectations import require_known_expectations
from components.validation.stage import validate, verdict_path
from components.validation.suite import read_suite
from components.validation.verdict import ValidationVerdict

ROOT = Path(__file__).resolve().parents[3]
MODELS = ("breast_cancer", "diabetes", "digits")


def _project(root: Path, model: str) -> None:
    section = read_section(config_path(model, ROOT), f"models.{model}.data", DataSection)
    assert isinstance(section.source, SklearnSource)
    write_probe(model, section, root)
    ingest(model, section, root)
    shutil.copy(ROOT / "data" / model / "expectations.json", root / "data" / model)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_a_shipped_table_meets_its_suite_without_a_warning(tmp_path: Path, model: str) -> None:
    _project(tmp_path, model)
    validate(model, tmp_path)
    verdict = read(ValidationVerdict, verdict_path(model, tmp_path))
    assert verdict.failed == {"critical": 0, "warning": 0, "info": 0}


@pytest.mark.parametrize("model", MODELS)
def test_a_shipped_suite_is_one_that_can_be_used(model: str) -> None:
    require_known_expectations(read_suite(model, ROOT))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "fault", "expectation"),
    [
        ("digits", pl.col("pixel_3_3") + 1, "expect_column_values_to_be_between"),
        ("digits", pl.col("digit") // 2 * 2, "expect_column_kl_divergence_to_be_less_than"),
        ("diabetes", pl.col("sex") - 1, "expect_column_values_to_be_in_set"),
        ("diabetes", pl.col("bmi") * 10, "expect_column_values_to_be_between"),
        ("breast_cancer", pl.col("worst_radius") / 10, "expect_column_pair_values_a_to_be_greater_than_b"),
    ],
)
def test_a_spoilt_table_is_refused(tmp_path: Path, model: str, fault: pl.Expr, expectation: str) -> None:
    _project(tmp_path, model)
    folder = tmp_path / "data" / model / "dataset"
    pl.read_parquet(folder / "table.parquet").with_columns(fault).write_parquet(folder / "table.parquet")
    manifest = {**dump(read_manifest(model, tmp_path)), "digest": file_digest(folder / "table.parquet")}
    write_json(folder / "manifest.json", manifest)
    with pytest.raises(ValidationRefusedError, match=expectation):
        validate(model, tmp_path)
