"""Runs that are killed, interrupted or started twice: no orphan, a state from which the next run goes on."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import Project

pytestmark = pytest.mark.slow

EPOCHS = 400  # of all runs here together: each goes on from the checkpoint of the one before, for a second or a few
LONG = [
    f"--set=keras.{each}" for each in (f"epochs={EPOCHS}", f"patience={EPOCHS}", "batch_size=4", "checkpoint_every_s=0")
]


def processes(project: Project) -> list[psutil.Process]:
    """Return everything that runs in the project's folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()) == project.root and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def eventually(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


def start_long_run(project: Project) -> subprocess.Popen[str]:
    """Start a run, and return when its network is being trained and has stored a checkpoint of its own."""
    begun = time.time()
    process = subprocess.Popen(
        project.command("run", "breast_cancer", "--only", "keras", "--no-register", *LONG),
        cwd=project.root,
        env=project.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    checkpoints = project.root / ".towpath/checkpoints"
    assert eventually(lambda: any(path.stat().st_mtime > begun for path in checkpoints.glob("*/*/epoch-*")), 300)
    return process


@pytest.fixture(scope="module")
def prepared(project: Project) -> Project:
    project.towpath("run", "breast_cancer", "--only", "sklearn", "--no-register")
    return project


def test_a_killed_run_leaves_no_process_behind(prepared: Project) -> None:
    run = start_long_run(prepared)
    assert any("components.training" in " ".join(process.cmdline()) for process in processes(prepared))
    assert any("prefect" in " ".join(process.cmdline()) for process in processes(prepared))
    run.kill()
    run.communicate()
    assert eventually(lambda: processes(prepared) == [], 120), processes(prepared)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_so_and_leaves_no_process_behind(prepared: Project, signum: signal.Signals) -> None:
    run = start_long_run(prepared)
    os.kill(run.pid, signum)
    _, errors = run.communicate(timeout=240)
    assert run.returncode == 130
    assert "towpath: interrupted; run the same command again to go on" in errors.splitlines()
    assert "Traceback" not in errors
    assert eventually(lambda: processes(prepared) == [], 120), processes(prepared)


def test_two_runs_of_one_model_do_not_run_side_by_side(prepared: Project) -> None:
    run = start_long_run(prepared)
    done = prepared.towpath("run", "breast_cancer", code=3)
    assert f"process {run.pid}" in done.stderr
    run.kill()
    run.communicate()
    assert eventually(lambda: processes(prepared) == [], 120)


def test_the_next_run_goes_on_where_the_killed_one_stopped(prepared: Project) -> None:
    outcome = prepared.json(
        "run", "breast_cancer", "--only", "keras", "--no-register", "--set=keras.checkpoint_every_s=60"
    )
    assert outcome["winner"]
    calls = (prepared.root / ".towpath/calls").glob("train@breast_cancer-keras.*/progress.jsonl")
    events = [json.loads(line) for line in max(calls, key=lambda path: path.stat().st_mtime).read_text().splitlines()]
    epochs = [event["epoch"] for event in events if event["event"] == "epoch"]
    assert 1 < epochs[0] < epochs[-1] == EPOCHS
    stored = (prepared.root / "out/breast_cancer/trainings/breast_cancer-keras/metrics.jsonl").read_text()
    steps = [json.loads(line)["step"] for line in stored.splitlines()]
    assert set(steps) == set(range(1, EPOCHS + 1))
