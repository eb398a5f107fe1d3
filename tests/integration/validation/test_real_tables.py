"""Real tables pass the suites drafted from them, and are refused where they are spoilt or give their label away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.data.config import CsvOptions, DataSection, FilesSource, LabelSection
from components.data.ingest import ingest
from components.data.probe import write_probe
from components.errors import ValidationRefusedError
from components.types.record import read
from components.validation.leak import leak_scores
from components.validation.propose import propose_suite
from components.validation.stage import validate, verdict_path
from components.validation.table import open_table
from components.validation.verdict import ValidationVerdict

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
TAXI, ADULT = SHARED / "chicago-taxi" / "data.csv", SHARED / "adult" / "adult.csv"
needs_tables = pytest.mark.skipif(not SHARED.is_dir(), reason="the folder of real tables is not on this machine")


def _ingest(root: Path, model: str, section: DataSection) -> None:
    write_probe(model, section, root)
    ingest(model, section, root)


def _taxi(label: LabelSection) -> DataSection:
    return DataSection(source=FilesSource(kind="files", path=str(TAXI)), label=label)


@needs_tables
def test_the_taxi_table_passes_its_draft(tmp_path: Path) -> None:
    _ingest(tmp_path, "taxi", _taxi(LabelSection(name="generous", expression="tips > 0.2 * fare", unlabelled="drop")))
    propose_suite("taxi", tmp_path)
    validate("taxi", tmp_path)
    verdict = read(ValidationVerdict, verdict_path("taxi", tmp_path))
    assert verdict.success
    assert verdict.failed == {"critical": 0, "warning": 0, "info": 0}
    assert verdict.rows > 14_000


@needs_tables
def test_tips_are_no_feature_of_a_label_made_of_tips_and_give_it_away_when_kept(tmp_path: Path) -> None:
    label = LabelSection(name="generous", expression="tips > 0.2 * fare", unlabelled="drop", keep=("tips", "fare"))
    _ingest(tmp_path, "taxi", _taxi(label))
    propose_suite("taxi", tmp_path)
    best = leak_scores(open_table("taxi", tmp_path))[0]
    assert best.column == "tips"
    assert best.score > 0.95
    suite = tmp_path / "data" / "taxi" / "expectations.json"
    content = json.loads(suite.read_text())
    content["meta"]["towpath"]["leak_bound"] = 0.95
    suite.write_text(json.dumps(content))
    with pytest.raises(ValidationRefusedError, match=r"no_leak.*`tips` alone"):
        validate("taxi", tmp_path)


@needs_tables
def test_the_adult_table_passes_its_draft(tmp_path: Path) -> None:
    source = FilesSource(kind="files", path=str(ADULT), csv=CsvOptions(missing=("?",), strip=True))
    _ingest(tmp_path, "adult", DataSection(source=source, label="income-per-year"))
    propose_suite("adult", tmp_path)
    validate("adult", tmp_path)
    verdict = read(ValidationVerdict, verdict_path("adult", tmp_path))
    assert verdict.success
    assert verdict.failed == {"critical": 0, "warning": 0, "info": 0}
    assert "http" not in (tmp_path / "reports" / "adult" / "validation" / "index.html").read_text()
