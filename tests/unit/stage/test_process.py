"""The rules of a stage's process, tried on real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

STAGE = """
import subprocess, sys, time
from components.errors import SourceError
from components.stage.main import run_stage

def body(what):
    print("working", flush=True)
    if what == "sleep":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        print(f"child={child.pid}", flush=True)
        time.sleep(60)
    if what == "bad":
        raise SourceError("data/taxi.csv is missing")
    if what == "crash":
        raise ZeroDivisionError("by zero")

raise SystemExit(run_stage("example", sys.argv[1:], "WHAT", body))
"""


def stage(*arguments: str, call_dir: Path | None = None) -> list[str]:
    return [sys.executable, "-c", STAGE, *arguments]


def environment(call_dir: Path | None) -> dict[str, str]:
    return {**os.environ, **({"TOWPATH_CALL_DIR": str(call_dir)} if call_dir else {})}


def eventually(condition: Callable[[], bool], seconds: float = 240.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize(("what", "code", "kind"), [("bad", 2, "SourceError"), ("crash", 1, "StageFailedError")])
def test_a_failing_stage_leaves_its_error_and_its_exit_code(tmp_path: Path, what: str, code: int, kind: str) -> None:
    done = subprocess.run(stage(what), env=environment(tmp_path), capture_output=True, text=True)
    assert done.returncode == code
    assert json.loads((tmp_path / "error.json").read_text())["kind"] == kind
    assert "working" in (tmp_path / "log").read_text()
    assert done.stdout == ""


def test_without_the_pipeline_a_stage_speaks_to_the_terminal() -> None:
    done = subprocess.run(stage("bad"), env=environment(None), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "working\n")
    assert done.stderr == "example: data/taxi.csv is missing\n"


def test_a_wrong_command_line_is_bad_input() -> None:
    done = subprocess.run(stage(), env=environment(None), capture_output=True, text=True)
    assert done.returncode == 2
    assert "usage: python -m components.example WHAT" in done.stderr


def test_a_stage_and_its_children_die_with_a_killed_parent(tmp_path: Path) -> None:
    launcher = f"import subprocess, sys; subprocess.run({stage('sleep')!r})"
    parent = subprocess.Popen([sys.executable, "-c", launcher], env=environment(tmp_path))
    log = tmp_path / "log"
    assert eventually(lambda: log.exists() and "child=" in log.read_text())
    group = int((tmp_path / "pid").read_text())
    child = int(log.read_text().split("child=")[1].split()[0])
    assert os.getpgid(child) == group != os.getpgid(parent.pid)
    parent.kill()
    parent.wait()
    assert eventually(lambda: gone(group) and gone(child))


def test_a_terminated_stage_says_that_it_was_stopped(tmp_path: Path) -> None:
    process = subprocess.Popen(stage("sleep"), env=environment(tmp_path))
    log = tmp_path / "log"
    assert eventually(lambda: log.exists() and "child=" in log.read_text())
    os.killpg(int((tmp_path / "pid").read_text()), signal.SIGTERM)
    assert process.wait(120) == 1
    assert json.loads((tmp_path / "error.json").read_text())["kind"] == "StageCancelledError"


def test_a_stage_that_was_stopped_before_it_had_a_pid_ends_at_once(tmp_path: Path) -> None:
    (tmp_path / "cancelled").touch()
    done = subprocess.run(stage("sleep"), env=environment(tmp_path), timeout=120)
    assert done.returncode == 1
    assert json.loads((tmp_path / "error.json").read_text())["kind"] == "StageCancelledError"
    assert "working" not in (tmp_path / "log").read_text()


def test_a_guarded_command_dies_with_a_killed_caller(tmp_path: Path) -> None:
    sleeper = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    guard = [sys.executable, "-m", "components.stage.guard", sys.executable, "-c", sleeper]
    caller = subprocess.Popen([sys.executable, "-c", f"import subprocess; subprocess.run({guard!r})"])
    pid_file = tmp_path / "pid"
    assert eventually(lambda: pid_file.exists() and pid_file.read_text() != "")
    pid = int(pid_file.read_text())
    caller.kill()
    caller.wait()
    assert eventually(lambda: gone(pid))


def test_a_guarded_command_gives_its_exit_code() -> None:
    command = [sys.executable, "-m", "components.stage.guard", sys.executable, "-c", "raise SystemExit(7)"]
    assert subprocess.run(command).returncode == 7
