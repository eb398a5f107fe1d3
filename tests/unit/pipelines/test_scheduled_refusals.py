"""What is left of a scheduled training that was stopped: where the sentence leads, its record, its log's last line."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from components.errors import InfrastructureError, ValidationRefusedError
from pipelines.lineage import LOCK_FILES
from pipelines.run import RunRequest
from pipelines.schedules.checkout import from_project, resolve
from pipelines.schedules.training import LOGS, RUNS, ScheduledRun, _train, recorded
from pipelines.state import CHECKOUTS, STATE
from tests.unit.pipelines.conftest import CONFIG

REFUSED = "data/boxes was refused: id_unique; see reports/boxes/validation/index.html"
LOST = f"outs: [{{md5: {'0' * 32}, path: batches}}]\n"
"""What DVC keeps of the batches, at no remote."""


def test_a_report_of_a_checkout_is_named_as_the_project_finds_it(tmp_path: Path) -> None:
    folder = tmp_path / CHECKOUTS / "abc" / "boxes"
    folder.mkdir(parents=True)
    (folder / STATE).symlink_to(tmp_path / STATE)
    found = from_project(REFUSED, folder)
    assert found.endswith("; see .towpath/checkouts/abc/boxes/reports/boxes/validation/index.html")
    assert from_project(found, folder) == found, "a path that leads there already was led elsewhere"
    assert from_project(REFUSED, tmp_path) == REFUSED


def test_a_run_that_was_refused_has_a_record_that_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ScheduledRun("7", "", "boxes", "HEAD", "abc", {}, {}, None, 0.0)

    def refused() -> NoReturn:
        raise ValidationRefusedError(REFUSED)

    with pytest.raises(ValidationRefusedError):
        recorded(asked, refused)
    record = json.loads((RUNS / "7.json").read_text())
    assert (record["model"], record["outcome"], record["error"]) == ("boxes", None, REFUSED)


def test_the_last_line_of_a_log_says_what_stopped_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_NO_ANALYTICS", "true")
    monkeypatch.chdir(tmp_path)
    files = {".dvc/config": "", "pipelines/configs/boxes.yaml": CONFIG, "data/boxes/batches.dvc": LOST}
    for name, text in {**files, **dict.fromkeys(LOCK_FILES, "")}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "--quiet"], ["add", "--all"], [*who, "commit", "--quiet", "--message", "boxes"]):
        subprocess.run(["git", *arguments], check=True)
    log = tmp_path / LOGS / "boxes.log"
    log.parent.mkdir(parents=True)
    log.write_text("an earlier run\n")
    with pytest.raises(InfrastructureError) as raised:
        _train.fn(RunRequest("boxes"), "boxes", resolve("HEAD"), 600)
    assert log.read_text() == f"towpath: {raised.value}\n"
