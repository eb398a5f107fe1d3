"""Who looks whether a run goes on changes nothing, and keeps no run from beginning."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

from components.errors import AlreadyRunningError
from pipelines.retraining import act
from pipelines.run_lock import alone, is_running
from pipelines.state import LOCKS

MODEL = "boxes"


def test_looking_leaves_no_trace_and_keeps_the_name_of_who_ran(tmp_path: Path) -> None:
    assert not is_running(MODEL, tmp_path)
    assert list(tmp_path.iterdir()) == []
    with alone(MODEL, tmp_path):
        assert is_running(MODEL, tmp_path)
    holder = tmp_path / LOCKS / f"run-{MODEL}.pid"
    assert holder.read_text() == str(os.getpid())
    holder.write_text("42")
    assert not is_running(MODEL, tmp_path)
    assert holder.read_text() == "42"


def test_a_run_waits_for_who_only_looks_and_not_for_another_run(tmp_path: Path) -> None:
    (tmp_path / LOCKS).mkdir(parents=True)
    looked = FileLock(tmp_path / LOCKS / f"run-{MODEL}.lock", thread_local=False)
    looked.acquire()
    threading.Timer(0.3, looked.release).start()
    with alone(MODEL, tmp_path):
        began = time.monotonic()
        with pytest.raises(AlreadyRunningError, match=f"process {os.getpid()}"), alone(MODEL, tmp_path):
            pass
    assert time.monotonic() - began < 5


def test_two_who_decide_about_one_model_get_a_conflict_that_spares_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(act, "_LOCK_S", 0.1)
    (tmp_path / LOCKS).mkdir(parents=True)
    nobody: object = None  # the lock comes before the first question to Prefect
    with (
        FileLock(tmp_path / LOCKS / f"retraining-{MODEL}.lock"),
        pytest.raises(AlreadyRunningError, match="nothing was asked for"),
    ):
        act.act(nobody, MODEL, tmp_path)  # type: ignore[arg-type]
