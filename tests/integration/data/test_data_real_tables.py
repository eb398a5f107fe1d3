"""The Chicago taxi and the Adult census table, as a data scientist would configure them."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.types.dataset import Column, ColumnType
from tests.data_project import DataProject

REAL = Path(__file__).resolve().parents[3].parent / "shared" / "data"
TAXI, ADULT = REAL / "chicago-taxi" / "data.csv", REAL / "adult" / "adult.csv"


@pytest.mark.skipif(not TAXI.is_file(), reason="the Chicago taxi table is not beside this checkout")
def test_the_taxi_table_keeps_its_gaps_and_its_label_is_made_of_tips(project: DataProject) -> None:
    label = {"name": "big_tip", "expression": "tips > 0.2 * fare", "keep": ["fare"]}
    project.files(str(TAXI), label=label, types={"trip_start_timestamp": "timestamp"})
    manifest = project.run()
    columns = {column.name: column for column in manifest.columns}
    assert manifest.rows == 15_002
    assert manifest.label_inputs == ("tips",)
    assert columns["pickup_census_tract"] == Column("pickup_census_tract", ColumnType.INT64, 15_001)
    assert columns["company"] == Column("company", ColumnType.STRING, 5_140)
    assert columns["trip_seconds"] == Column("trip_seconds", ColumnType.INT64, 6)
    assert columns["trip_miles"].type is ColumnType.FLOAT64
    assert columns["trip_start_timestamp"].type is ColumnType.TIMESTAMP
    assert sum(project.column("big_tip")) / manifest.rows == pytest.approx(0.2249, abs=1e-4)


@pytest.mark.skipif(not ADULT.is_file(), reason="the Adult table is not beside this checkout")
def test_question_marks_in_the_adult_table_are_missing(project: DataProject) -> None:
    project.files(str(ADULT), label="income-per-year", csv={"missing": ["?"]})
    manifest = project.run()
    nulls = {column.name: column.nulls for column in manifest.columns if column.nulls}
    assert manifest.rows == 32_561
    assert nulls == {"workclass": 1836, "occupation": 1843, "native-country": 583}
    assert {c.name for c in manifest.columns if c.type is ColumnType.INT64} >= {"age", "education-num", "row_id"}
    assert set(project.column("income-per-year")) == {"<=50K", ">50K"}
