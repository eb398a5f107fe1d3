"""All that a training wrote arrives, in order, however long its lines are and however it ended."""

import contextlib
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from components.errors import StageFailedError
from components.stage.process import CALL_DIR_VARIABLE, LOG_FILE, PROGRESS_FILE
from components.training.runners import node
from components.training.runners.node import NodeTraining, _Streams


@pytest.fixture
def call(tmp_path, monkeypatch):
    monkeypatch.setattr(node, "_READ_BYTES", 64)
    return tmp_path


def rest(streams):
    said = []
    while each := streams.read(ended=True):
        said.append(each)
    return "".join(each.progress for each in said), "".join(each.log for each in said)


def test_line_is_said_once_it_is_whole(call):
    streams = _Streams(call)
    assert streams.read() is None
    with (call / PROGRESS_FILE).open("w") as file:
        file.write("one\ntw")
        file.flush()
        assert streams.read().progress == "one\n"
        assert streams.read() is None
        file.write("o\n")
        file.flush()
        assert streams.read().progress == "two\n"


def test_all_that_was_written_before_the_end_is_said(call):
    progress = "".join(f"epoch {number}\n" for number in range(200)) + "last words"
    log = "".join(f"line {number}\n" for number in range(500)) + "Killed"
    (call / PROGRESS_FILE).write_text(progress)
    (call / LOG_FILE).write_text(log)
    assert rest(_Streams(call)) == (progress, log)


def test_line_longer_than_the_buffer_stops_nothing(call):
    text = "é" * 200 + "\nand on\n"  # two bytes each
    (call / LOG_FILE).write_text("x" + text, encoding="utf-8")  # so a buffer ends within one
    streams, heard = _Streams(call), ""
    while said := streams.read():
        heard += said.log
    assert heard == f"x{text}"


def test_broken_last_character_is_shown_as_one(call):
    (call / LOG_FILE).write_bytes("caf\u00e9".encode()[:-1])
    assert rest(_Streams(call)) == ("", "caf\ufffd")


@pytest.mark.parametrize("code", [0, 3])
def test_training_that_ended_is_heard_to_its_end(call, monkeypatch, code):
    program = call / "python"
    program.write_text(
        f'#!/bin/sh\nfor n in $(seq 100); do echo "epoch $n"; done >"${CALL_DIR_VARIABLE}/{PROGRESS_FILE}"\n'
        f'printf Killed >"${CALL_DIR_VARIABLE}/{LOG_FILE}"\nexit {code}\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(call))
    monkeypatch.setattr(node, "sys", SimpleNamespace(executable=str(program)))
    (call / "call").mkdir()
    task = SimpleNamespace(training="t", output_dir=Path("output"), checkpoint_dir=Path("checkpoints"))

    said = []
    with pytest.raises(StageFailedError, match=f"code {code}") if code else contextlib.nullcontext():
        for each in NodeTraining()._train(call, task, "", 60.0):
            said.append(each)
    assert "".join(each.progress for each in said) == "".join(f"epoch {number}\n" for number in range(1, 101))
    assert "".join(each.log for each in said) == "Killed"
