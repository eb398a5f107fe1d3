"""Other tables than the shipped ones, through the whole pipeline: mixed types, missing values, a derived label."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Project
from tests.tables import write_taxi_shaped

pytestmark = pytest.mark.slow

CONFIGS = ROOT / "tests/configs"
SHARED = ROOT.parent / "shared/data"
TAXI = "chicago-taxi/data.csv"
FULL = os.environ.get("TOWPATH_FULL") == "1"
LATER_ROWS = 2_000


def add_model(project: Project, name: str) -> None:
    """Do what docs/data-scientist.md says: a configuration, a line in dvc.yaml, a suite."""
    shutil.copy2(CONFIGS / f"{name}.yaml", project.root / f"pipelines/configs/{name}.yaml")
    pipeline = (project.root / "dvc.yaml").read_text()
    first = "  - pipelines/configs/breast_cancer.yaml\n"
    project.write("dvc.yaml", pipeline.replace(first, f"{first}  - pipelines/configs/{name}.yaml\n"))
    project.towpath("suite", "propose", name)
    project.towpath("config", "check")


def run_all_three(project: Project, name: str) -> dict:
    outcome = project.json("run", name)
    assert outcome["version"] == 1
    assert len([stage for stage in outcome["stages"] if stage["stage"].startswith("train@")]) == 3
    assert "slices" in {verdict["gate"] for verdict in outcome["verdicts"]}
    assert json.loads(project.dvc("status", "--json", *(stage["stage"] for stage in outcome["stages"]))) == {}
    compared = project.json("compare", name)
    assert all("auc" in training["metrics"] for training in compared["trainings"])
    return outcome


def shared_table(path: str) -> Path:
    table = SHARED / path
    if not table.is_file():
        pytest.skip(f"the real table {path} is not beside this checkout")
    return table


@pytest.fixture(scope="module")
def adult(served_project: Project) -> Path:
    """Return the real adult table in a project, less its last rows."""
    path = served_project.root / "data/adult/adult.csv"
    path.parent.mkdir()
    path.write_text("".join(shared_table("adult/adult.csv").read_text().splitlines(keepends=True)[:-LATER_ROWS]))
    add_model(served_project, "adult")
    return path


def test_the_real_adult_table(served_project: Project, adult: Path) -> None:
    run_all_three(served_project, "adult")


def test_more_rows_of_the_same_table_leave_every_row_on_its_side(served_project: Project, adult: Path) -> None:
    before = ids_by_split(served_project, "adult")
    shutil.copy2(SHARED / "adult/adult.csv", adult)
    outcome = served_project.json("run", "adult", "--only", "sklearn", "--no-register")
    assert {stage["verdict"] for stage in outcome["stages"]} == {"ran"}
    after = ids_by_split(served_project, "adult")
    assert sum(map(len, after.values())) - sum(map(len, before.values())) == LATER_ROWS
    assert all(before[split] < after[split] for split in before)


@pytest.mark.skipif(not FULL and SHARED.is_dir(), reason="real tables are at hand; set TOWPATH_FULL=1")
def test_a_generated_table_of_the_taxi_tables_shape(make_project, prefect: str) -> None:
    project = make_project("generated", prefect=prefect)
    (project.root / "data/taxi").mkdir()
    write_taxi_shaped(project.root / "data/taxi/taxi.csv", 6000, seed=1)
    add_model(project, "taxi")
    run_all_three(project, "taxi")


def ids_by_split(project: Project, model: str) -> dict[str, set[int]]:
    import polars as pl

    folder = project.root / "out" / model / "prepared"
    return {
        split: set(pl.read_parquet(folder / f"{split}.parquet", columns=["row_id"])["row_id"])
        for split in ("train", "validation", "test")
    }


@pytest.mark.skipif(not FULL, reason="networks learn from it in test_tfx.py; set TOWPATH_FULL=1")
def test_the_real_taxi_table(make_project, prefect: str) -> None:
    table = shared_table(TAXI)
    project = make_project("taxi", prefect=prefect)
    (project.root / "data/taxi").mkdir()
    shutil.copy2(table, project.root / "data/taxi/taxi.csv")
    add_model(project, "taxi")
    run_all_three(project, "taxi")


@pytest.mark.parametrize("model", ["digits", "diabetes"] if FULL else ["diabetes"])
def test_the_other_shipped_models(make_project, prefect: str, model: str) -> None:
    some = () if FULL else ("--only", "sklearn")  # images and numbers are learnt by every kind in the contract tests
    outcome = make_project(model, prefect=prefect).json("run", model, *some)
    assert outcome["version"] == 1
    assert all(verdict["passed"] for verdict in outcome["verdicts"])
