"""Each environment has a gateway of its own: started on nothing, asked for what is stable, stopped with the others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from components.release.records import Digests, Placement, Transition
from components.types.judging import GatewayStatus
from components.types.record import load
from pipelines.release.entering import enter
from pipelines.release.environments import ENVIRONMENTS_DIR, EnvironmentConfig
from tests.integration.release_evidence.conftest import DATASET, MODEL, Project

pytestmark = pytest.mark.slow


def towpath(project: Project, *arguments: str, code: int = 0) -> Any:
    """Run a command as a user would, and return what it says as JSON, or its sentence where it fails."""
    command = [sys.executable, "-m", "pipelines.cli", *arguments, "--json"]
    done = subprocess.run(command, cwd=project.root, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr
    return done.stderr if code else json.loads(done.stdout)


@pytest.fixture
def served(project: Project) -> Iterator[Project]:
    """The project with a test split, and every server stopped in the end."""
    prepared = project.root / "out" / MODEL / "prepared"
    (prepared / "test.parquet").write_bytes((prepared / "validation.parquet").read_bytes())
    yield project
    towpath(project, "down")


def make_stable(project: Project, env: EnvironmentConfig) -> None:
    """Commit the version as stable, as the end of a rollout would."""
    slot = env.ledger().slot(MODEL, env.name)
    digests = Digests(project.digest, DATASET, "0c0ffee", "1" * 64, "9" * 64, "8" * 64)
    to = Placement(stable=project.version)
    env.ledger().commit(
        Transition(MODEL, env.name, slot.rev, project.version, "stable", to, digests, "eve", "for the test")
    )


def test_environments_are_served_side_by_side_and_stopped_together(served: Project) -> None:
    local, staging = served.env("local"), served.env("staging")
    enter(MODEL, served.version, local, staging, served.root)
    make_stable(served, staging)
    running = {
        name: towpath(served, "serve", MODEL, "--env", name, "--port", "0", "--detach") for name in ("local", "staging")
    }
    assert [each["name"] for each in running.values()] == ["gateway", "gateway-staging"]
    assert running["local"]["url"] != running["staging"]["url"]
    for name, service in running.items():
        answer = towpath(served, "ask", MODEL, "--env", name)
        assert answer["url"].startswith(service["url"])
        assert (answer["version"], answer["label"]) == (served.version, "no")
        assert answer["outputs"]["prediction"][0] in ("yes", "no")
    again = towpath(served, "serve", "--env", "staging", "--detach")
    assert again["pid"] == running["staging"]["pid"]
    assert "`towpath down` stops it" in towpath(served, "serve", "--env", "staging", "--port", "1", "--detach", code=3)
    assert {each["name"] for each in towpath(served, "down")} == {"gateway", "gateway-staging"}
    assert "no gateway runs for staging" in towpath(served, "ask", MODEL, "--env", "staging", code=1)


def test_an_environment_without_a_version_is_served_by_as_many_workers_as_it_says(served: Project) -> None:
    path = served.root / ENVIRONMENTS_DIR / "production.yaml"
    content = yaml.safe_load(path.read_text())
    content["environment"]["target"] |= {"workers": 2}
    path.write_text(yaml.safe_dump(content))
    service = towpath(served, "serve", "--env", "production", "--port", "0", "--detach")
    deadline = time.monotonic() + 30
    while len(status_of(service["url"]).workers) < 2:  # it is ready when the first of them is
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with pytest.raises(urllib.error.HTTPError, match="401"), urllib.request.urlopen(f"{service['url']}/release/status"):
        pass
    assert f"towpath promote {MODEL} VERSION" in towpath(served, "ask", MODEL, "--env", "production", code=2)
    assert "no stable version in production" in towpath(
        served, "serve", "--detach", MODEL, "--env", "production", code=2
    )


def status_of(url: str) -> GatewayStatus:
    request = urllib.request.Request(f"{url}/release/status")
    request.add_header("Authorization", f"Bearer {os.environ['TOWPATH_GATEWAY_TOKEN']}")
    with urllib.request.urlopen(request) as response:
        return load(GatewayStatus, json.load(response))
