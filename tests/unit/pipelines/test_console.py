"""What a log shows of a run while it goes on."""

import time

import pytest

from components.stage.process import CALL_DIR_VARIABLE
from components.stage.progress import note
from pipelines.console import LineView


def wait_for(capsys: pytest.CaptureFixture[str], text: str, times: int = 1) -> str:
    said, deadline = "", time.monotonic() + 60
    while said.count(text) < times and time.monotonic() < deadline:
        said += capsys.readouterr().err
        time.sleep(0.05)
    return said


def test_note_of_a_stage_is_a_line_before_the_stage_ends(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(CALL_DIR_VARIABLE, str(tmp_path))
    view = LineView()
    view.started("train@taxi-tfx", tmp_path)
    note("installing TFX")

    said = wait_for(capsys, "installing TFX\n", times=2)
    assert said == "installing TFX\n" * 2  # the stage's own process, and the line of whoever watches
    view.finished("train@taxi-tfx", "ran", 1.5)

    assert wait_for(capsys, "train@").split() == ["train@taxi-tfx", "ran", "1.5", "s"]


def test_note_outside_the_pipeline_goes_to_the_terminal(monkeypatch, capsys):
    monkeypatch.delenv(CALL_DIR_VARIABLE, raising=False)

    note("installing TFX")

    assert capsys.readouterr().err == "installing TFX\n"
