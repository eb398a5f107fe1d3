"""The Prefect server dies in the middle of a run and comes back: the run completes, and the server knows all of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Project, copy_project
from tests.waiting import until

FULL = bool(os.environ.get("TOWPATH_FULL"))
DOWN_S = 60.0 if FULL else 5.0
"""From its death to the beginning of its next life; until it answers again it takes some seconds more."""


class PrefectServer:
    """A Prefect server with its services, on a database of its own and always on the same port."""

    def __init__(self, folder: Path, port: int) -> None:
        self.url, self._folder, self._port = f"http://127.0.0.1:{port}/api", folder, port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
        command += ["--port", str(self._port), "--no-ui"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        environment |= {"PREFECT_HOME": str(self._folder), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self._folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        until(self._answers, "the Prefect server answers", 120)

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, 9)
            self._process.wait()
            self._process = None

    def read(self, kind: str) -> Any:
        body = json.dumps({"limit": 200}).encode()
        asked = urllib.request.Request(
            f"{self.url}/{kind}/filter", data=body, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return json.load(answer)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            return False


@pytest.fixture
def server(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[PrefectServer]:
    folder = tmp_path / "prefect"
    folder.mkdir()
    made = PrefectServer(folder, free_port())
    made.start()
    yield made
    made.kill()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return copy_project(tmp_path / "project")


def begun(project: Project, stage: str) -> bool:
    return any((project.root / ".towpath/calls").glob(f"{stage}*"))


def test_a_run_outlives_its_prefect_server(server: PrefectServer, project: Project) -> None:
    run = subprocess.Popen(
        project.command("run", "breast_cancer", "--only", "sklearn", "--json"),
        cwd=project.root,
        env={**project.environment, "PREFECT_API_URL": server.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        until(lambda: begun(project, "train@") or run.poll() is not None, "the training begins", 120)
        server.kill()
        killed_s = time.monotonic()
        # its last steps, and its own end, find nobody: that is when a flow has to wait
        until(lambda: begun(project, "evaluate@") or run.poll() is not None, "the training is over", 120)
        time.sleep(max(0.0, killed_s + DOWN_S - time.monotonic()))
        assert run.poll() is None, f"it did not wait for the server: {run.communicate()}"
        server.start()
        down_s = time.monotonic() - killed_s
        said, errors = run.communicate(timeout=300)
        waited_s = time.monotonic() - killed_s - down_s
    finally:
        if run.poll() is None:
            os.killpg(run.pid, 9)
            run.communicate()
    print(f"down for {down_s:.0f} s; the run ended {waited_s:.0f} s after its return", file=sys.stderr)
    assert run.returncode == 0, errors
    assert json.loads(said)["version"] == 1
    assert errors == "", "nothing of it concerns who reads a run's output"
    (flow,) = server.read("flow_runs")
    assert flow["state_type"] == "COMPLETED"
    steps = len(("record", "ingest", "validate", "prepare", "training", "gates", "register"))
    until(lambda: states(server) == ["COMPLETED"] * steps, "the server knows how every step ended", 30)


def test_a_server_that_is_not_there_is_named(project: Project, free_port: Callable[[], int]) -> None:
    address = f"http://127.0.0.1:{free_port()}/api"
    done = subprocess.run(
        project.command("run", "diabetes", "--only", "sklearn", "--no-register"),
        cwd=project.root,
        env={**project.environment, "PREFECT_API_URL": address},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert f"towpath: the Prefect server at {address} cannot be reached" in done.stderr
    assert "run the same command again" in done.stderr
    assert "fault of ours" not in done.stderr


def states(server: PrefectServer) -> list[str]:
    return [each["state_type"] for each in server.read("task_runs")]
