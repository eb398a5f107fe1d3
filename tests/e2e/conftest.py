"""A copy of the project, as a user would clone it, and its command line."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipelines.services.local import prefect_launch
from pipelines.services.process import supervised_service

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Project:
    """A project folder of its own."""

    root: Path
    prefect: str = ""
    """Prefect's API that its runs use; without one each of them starts a server of its own."""

    @property
    def environment(self) -> dict[str, str]:
        mine = ("TOWPATH_", "MLFLOW_", "PREFECT_", "PYTEST_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(mine)}
        shared = os.environ.get("TOWPATH_ENVIRONMENTS", str(ROOT / ".towpath/environments"))  # 3.6 GB, not once a copy
        ours = {"TOWPATH_PYTHON": sys.executable, "TOWPATH_ACTOR": "tester", "TOWPATH_ENVIRONMENTS": shared}
        return {**kept, **ours} | ({"PREFECT_API_URL": self.prefect} if self.prefect else {})

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "pipelines.cli", *arguments]

    def towpath(
        self, *arguments: str, code: int | tuple[int, ...] = 0, timeout_s: float = 600
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        allowed = code if isinstance(code, tuple) else (code,)
        assert done.returncode in allowed, f"{arguments} exited {done.returncode}:\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr + done.stdout
        return done

    def json(self, *arguments: str, code: int | tuple[int, ...] = 0) -> Any:
        return json.loads(self.towpath(*arguments, "--json", code=code).stdout)

    def dvc(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "dvc", *arguments]
        return subprocess.run(
            command, cwd=self.root, env=self.environment, capture_output=True, text=True, check=True
        ).stdout

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=tester", "-c", "user.email=tester@example.org"]
        command = ["git", *identity, *arguments]
        return subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=True).stdout

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)


def copy_project(target: Path, prefect: str = "") -> Project:
    """Copy what git tracks or would track, with an empty dvc.lock, and commit it."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    for name in listed:
        if name and (ROOT / name).is_file() and not name.startswith(("tests/", "docs/")):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    project = Project(target, prefect)
    project.write("dvc.lock", "schema: '2.0'\nstages: {}\n")
    project.git("init", "--quiet")
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "as cloned")
    return project


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory, prefect_home: Path) -> Iterator[str]:
    """Return the address of a Prefect API for runs that need not start one: a server is seven seconds of work."""
    folder = tmp_path_factory.mktemp("prefect")
    shutil.copytree(prefect_home, folder / ".towpath" / "prefect")
    with supervised_service(prefect_launch(folder, with_page=False), folder) as service:
        yield f"{service.url}/api"


@pytest.fixture(scope="module")
def make_project(tmp_path_factory: pytest.TempPathFactory, prefect_home: Path) -> Iterator[Callable[..., Project]]:
    made: list[Project] = []

    def make(name: str, *, newcomer: bool = False, prefect: str = "") -> Project:
        """Copy the project; a newcomer's has nothing that a run leaves, others have Prefect's tables already."""
        made.append(copy_project(tmp_path_factory.mktemp(name), prefect))
        if not newcomer:
            shutil.copytree(prefect_home, made[-1].root / ".towpath" / "prefect")
        return made[-1]

    yield make
    for project in made:
        project.towpath("down")


@pytest.fixture(scope="module")
def project(make_project: Callable[..., Project]) -> Project:
    return make_project("project")


@pytest.fixture(scope="module")
def served_project(make_project: Callable[..., Project], prefect: str) -> Project:
    """Return a project whose runs find a Prefect server."""
    return make_project("project", prefect=prefect)
