"""The stage as a process: exit codes, what it leaves behind, and that no value of a table reaches a log."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from components.data.config import DataSection, FilesSource
from components.data.ingest import ingest
from components.data.probe import write_probe
from components.validation.propose import propose_suite

ROOT = Path(__file__).resolve().parents[3]
MODEL = "guests"
SECRET = "Zanzibar-4711"


def _ingest(root: Path, section: DataSection) -> None:
    write_probe(MODEL, section, root)
    ingest(MODEL, section, root)


def _write(root: Path, frame: pl.DataFrame) -> None:
    frame.write_parquet(root / "guests.parquet")
    _ingest(root, DataSection(source=FilesSource(kind="files", path="guests.parquet"), id="guest", label="came"))


def _guests() -> pl.DataFrame:
    rows = 300
    return pl.DataFrame(
        {
            "guest": [f"guest {number}" for number in range(rows)],
            "nights": [number % 9 for number in range(rows)],
            "city": [("Basel", "Bern", "Chur")[number % 3] for number in range(rows)],
            "came": [number * 7 % 5 > 1 for number in range(rows)],
        }
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "calls").mkdir()
    _write(tmp_path, _guests())
    propose_suite(MODEL, tmp_path)
    return tmp_path


def _stage(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-m", "components.validation", *(arguments or (MODEL,))],
        cwd=root,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "TOWPATH_CALL_DIR": str(root / "calls")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _said(root: Path, ran: subprocess.CompletedProcess[str]) -> str:
    logged = "".join(path.read_text() for path in (root / "calls").iterdir() if path.is_file())
    return ran.stdout + ran.stderr + logged


@pytest.mark.slow
def test_a_sound_table_gives_a_verdict_and_nothing_to_read_in_the_log(project: Path) -> None:
    ran = _stage(project)
    assert ran.returncode == 0, _said(project, ran)
    verdict = json.loads((project / "out" / MODEL / "validation" / "verdict.json").read_text())
    assert verdict["success"] is True
    assert [path.name for path in (project / "out" / MODEL / "validation").iterdir()] == ["verdict.json"]
    assert "Traceback" not in _said(project, ran)
    assert "%" not in _said(project, ran)  # no progress bar


@pytest.mark.slow
def test_a_refused_table_ends_with_code_4_one_sentence_and_no_value_of_its_own(project: Path) -> None:
    _write(project, _guests().with_columns(city=pl.lit(SECRET)))
    ran = _stage(project)
    said = _said(project, ran)
    assert ran.returncode == 4, said
    error = json.loads((project / "calls" / "error.json").read_text())
    assert error["kind"] == "ValidationRefusedError"
    assert "expect_column_values_to_be_in_set(city)" in error["message"]
    assert "reports/guests/validation/index.html" in error["message"]
    assert SECRET not in said
    assert "guest 1" not in said
    assert "Traceback" not in said
    assert not (project / "out" / MODEL / "validation").exists()
    assert SECRET in (project / "reports" / MODEL / "validation" / "bad_rows.csv").read_text()


@pytest.mark.slow
def test_an_expectation_that_raises_shows_no_value_either(project: Path) -> None:
    suite = project / "data" / MODEL / "expectations.json"
    content = json.loads(suite.read_text())
    content["expectations"].append(
        {"type": "expect_column_values_to_be_between", "kwargs": {"column": "city", "min_value": 3}}
    )
    suite.write_text(json.dumps(content))
    ran = _stage(project)
    assert ran.returncode == 4, _said(project, ran)
    assert "could not be evaluated" in _said(project, ran)
    assert "Basel" not in _said(project, ran)
    assert "Traceback" not in _said(project, ran)


def test_changed_bytes_are_noticed_before_they_are_read(project: Path) -> None:
    table = project / "data" / MODEL / "dataset" / "table.parquet"
    table.write_bytes(table.read_bytes() + b"0")
    ran = _stage(project)
    assert ran.returncode == 1
    assert "was promised" in _said(project, ran)


def test_an_empty_suite_is_bad_input(project: Path) -> None:
    suite = project / "data" / MODEL / "expectations.json"
    suite.write_text(json.dumps({**json.loads(suite.read_text()), "expectations": []}))
    ran = _stage(project)
    assert ran.returncode == 2
    assert "an empty suite passes everything" in _said(project, ran)


def test_a_model_that_nobody_knows_is_bad_input(project: Path) -> None:
    ran = _stage(project, "nobody")
    assert ran.returncode == 2
    assert "towpath suite propose nobody" in _said(project, ran)


def test_our_own_checks_refuse_without_waiting_for_great_expectations(project: Path) -> None:
    _write(project, _guests().drop("city"))
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "components.validation", MODEL],
        cwd=project,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 4
    assert "no_missing_column" in ran.stderr
    assert "great_expectations" not in ran.stderr
