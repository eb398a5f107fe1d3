"""The stack of real servers in a copy of the project, for the end-to-end tests that run through it."""

from __future__ import annotations

import contextlib
import json
import shutil
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.conftest import Project

OWN = {"postgresql", "s3", "mlflow", "prefect", "worker", "watchdog", "prometheus", "textfiles"}


def require_stack() -> None:
    """Skip where the machine lacks what the stack starts."""
    if not shutil.which("prometheus"):
        pytest.skip("Prometheus is not on the path")
    if not (shutil.which("initdb") or list(Path("/usr/lib/postgresql").glob("*/bin/initdb"))):
        pytest.skip("PostgreSQL is not installed")


def free_ports(project: Project) -> None:
    """Let the gateways take any free port."""
    for env, port in (("staging", "8081"), ("production", "8082")):
        path = f"pipelines/configs/environments/{env}.yaml"
        project.write(path, (project.root / path).read_text().replace(f"port: {port}", "port: 0"))


def services(project: Project) -> dict[str, Any]:
    """Return every server of the stack by its short name."""
    return {each["name"].removeprefix("stack-"): each for each in project.json("stack", "status")}


def tree(pid: int) -> list[psutil.Process]:
    """Return a process and all that it started."""
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


def processes(project: Project) -> list[psutil.Process]:
    """Return every process of the stack."""
    found = []
    for each in services(project).values():
        with contextlib.suppress(psutil.NoSuchProcess):
            found += tree(each["pid"])
    return found


def settings(project: Project) -> Any:
    """Return what the stack made at its first start."""
    return json.loads((project.root / ".towpath/stack/settings.json").read_text())


def read(url: str, body: Any = None) -> Any:
    """Return the JSON that an address answers, to a POST where there is a body."""
    request = urllib.request.Request(url, headers={"Content-Type": "application/json"})
    request.data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)
