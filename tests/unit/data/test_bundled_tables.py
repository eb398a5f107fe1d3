"""The tables that come with scikit-learn, as every shipped model starts from them."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from components.data.config import DataSection
from components.data.probe import probe
from components.data.snapshot import read_snapshot
from components.errors import SourceError
from components.stage.config import config_path, read_section
from components.types.dataset import ColumnType
from tests.data_project import DataProject

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = ("breast_cancer", "digits", "diabetes")


def _ingested(project: DataProject, table: str, label: str) -> pl.DataFrame:
    project.configure({"kind": "sklearn", "table": table}, label=label)
    manifest = project.run()
    assert all(column.nulls == 0 for column in manifest.columns)
    return project.table()


def test_breast_cancer_has_its_positive_class_second(project: DataProject) -> None:
    table = _ingested(project, "breast_cancer", "diagnosis")
    assert table.shape == (569, 32)
    assert table["diagnosis"].value_counts().sort("diagnosis").rows() == [("benign", 357), ("malignant", 212)]
    assert table.columns[1:4] == ["mean_radius", "mean_texture", "mean_perimeter"]
    assert all(" " not in name for name in table.columns)


def test_the_pixels_of_digits_are_in_row_major_order(project: DataProject) -> None:
    table = _ingested(project, "digits", "digit")
    assert table.shape == (1797, 66)
    pixels = [name for name in table.columns if name.startswith("pixel_")]
    assert pixels == sorted(pixels) == [f"pixel_{row}_{column}" for row in range(8) for column in range(8)]
    assert table.schema["pixel_0_0"] == pl.Float64
    assert table.schema["digit"] == pl.Int64
    assert sorted(table["digit"].unique()) == list(range(10))


def test_diabetes_is_in_the_units_of_the_study(project: DataProject) -> None:
    table = _ingested(project, "diabetes", "progression")
    assert table.shape == (442, 12)
    assert table.schema["progression"] == pl.Float64
    assert (table["age"].min(), table["age"].max()) == (19.0, 79.0)


def test_wine_has_three_cultivars(project: DataProject) -> None:
    table = _ingested(project, "wine", "cultivar")
    assert table.shape == (178, 15)
    assert table["cultivar"].n_unique() == 3
    assert "od280_od315_of_diluted_wines" in table.columns


@pytest.mark.parametrize("model", SHIPPED)
def test_the_probe_in_git_is_what_a_probe_gives_now(model: str) -> None:
    section = read_section(config_path(model, ROOT), f"models.{model}.data", DataSection)
    assert read_snapshot(model, ROOT)[0] == probe(section, ROOT)


@pytest.mark.parametrize("model", SHIPPED)
def test_a_shipped_model_is_ingested_from_its_configuration(project: DataProject, model: str) -> None:
    section = read_section(config_path(model, ROOT), f"models.{model}.data", DataSection)
    project.settings = section.model_dump()
    manifest = project.run()
    assert manifest.id_column == "row_id"
    assert {column.type for column in manifest.columns} <= set(ColumnType)


def test_another_release_of_the_table_is_refused(project: DataProject) -> None:
    project.configure({"kind": "sklearn", "table": "wine"}, label="cultivar")
    project.probe()
    path = project.root / "data/trips/source.json"
    path.write_text(path.read_text().replace('"sha256": "', '"sha256": "0'))
    with pytest.raises(SourceError, match="scikit-learn's table wine has changed since the last probe"):
        project.ingest()
