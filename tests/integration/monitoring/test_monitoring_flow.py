"""The flow in a real Prefect: every stable model is looked at, an alarm is no failure, what cannot be read is one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.services.local import prefect_api
from pipelines.state import quiet
from pipelines.watch.publish import last_report
from tests.integration.monitoring.conftest import MODEL

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
SCRIPT = """
import json
from components.types.record import dump
from pipelines.monitoring import monitoring_flow
looked = monitoring_flow({arguments})
print(json.dumps([dump(each) for each in looked]))
"""


@pytest.fixture(scope="module")
def prefect_url(tmp_path_factory: pytest.TempPathFactory, prefect_home: Path) -> Iterator[str]:
    """Give the address of a Prefect server of our own."""
    folder = tmp_path_factory.mktemp("prefect")
    shutil.copytree(prefect_home, folder / ".towpath" / "prefect")
    with prefect_api(folder) as url:
        yield url


def run_flow(root: Path, prefect_url: str, arguments: str = "") -> subprocess.CompletedProcess[str]:
    """Run the flow in a process of its own, in a project."""
    environment = {**os.environ, "PREFECT_API_URL": prefect_url, "PREFECT_HOME": str(root / "prefect")}
    environment["PYTHONPATH"] = str(ROOT)
    quiet(environment)
    command = [sys.executable, "-c", SCRIPT.format(arguments=arguments)]
    return subprocess.run(command, cwd=root, env=environment, text=True, capture_output=True, timeout=240, check=False)


def test_every_stable_model_is_looked_at_and_an_alarm_is_no_failure(env, serve, prefect_url):
    serve(400, moved=2.0)
    done = run_flow(env.root, prefect_url)
    assert done.returncode == 0, done.stderr
    (looked,) = json.loads(done.stdout.splitlines()[-1])
    assert (looked["report"]["model"], looked["report"]["environment"]) == (MODEL, "local")
    assert looked["report"]["state"] == "alarm"
    assert looked["run_id"]
    assert last_report(MODEL, "local", env.root) is not None


def test_looking_twice_does_no_harm(env, serve, prefect_url):
    serve(400)
    arguments = "window='1h', environments=('local',)"
    first, second = (run_flow(env.root, prefect_url, arguments) for _ in range(2))
    assert (first.returncode, second.returncode) == (0, 0), second.stderr
    features = [json.loads(done.stdout.splitlines()[-1])[0]["report"]["features"] for done in (first, second)]
    assert features[0] == features[1]


def test_a_look_that_failed_names_the_model_and_fails_the_flow(env, serve, prefect_url):
    serve(400)
    (path,) = (env.log_dir / MODEL).glob("date=*/*.parquet")
    path.write_bytes(b"PAR1 torn PAR1")
    done = run_flow(env.root, prefect_url)
    assert done.returncode == 1
    assert f"{MODEL} in local" in done.stderr
    assert "move it away" in done.stderr


def test_a_time_that_is_none_is_bad_input(env, served, prefect_url):
    done = run_flow(env.root, prefect_url, "since='yesterday'")
    assert done.returncode == 1
    assert "expected a time such as" in done.stderr
