"""A scheduled training of a real model: in a clean checkout at its commit, bytes pulled and pushed, all recorded."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.errors import AlreadyRunningError, BadInputError, InfrastructureError, StageTimeoutError
from pipelines.run import RunRequest
from pipelines.schedules.checkout import hold, open_checkout, resolve
from pipelines.schedules.cleanup import clean_up
from pipelines.schedules.training import RUNS, run_inside
from pipelines.state import CHECKOUTS
from tests.e2e.conftest import Project, copy_project

pytestmark = pytest.mark.slow

MODEL = "breast_cancer"


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a committed copy of the project in which one training is left, the quickest."""
    project = copy_project(tmp_path_factory.mktemp("project"))
    path = project.root / "pipelines" / "configs" / f"{MODEL}.yaml"
    content = yaml.safe_load(path.read_text())
    content["trainings"] = {name: t for name, t in content["trainings"].items() if t["kind"] == "sklearn"}
    path.write_text(yaml.safe_dump(content))
    project.git("commit", "--quiet", "--all", "--message", "one training")
    return project


def scheduled(project: Project, prefect_url: str) -> dict[str, Any]:
    """Run the flow as a worker would, and return its record."""
    before = set((project.root / RUNS).glob("*.json"))
    code = f"from pipelines.schedules.training import scheduled_training; scheduled_training({MODEL!r})"
    done = subprocess.run(
        [sys.executable, "-c", f"from pipelines.state import quiet; quiet(); {code}"],
        cwd=project.root,
        env={**project.environment, "PREFECT_API_URL": prefect_url},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = set((project.root / RUNS).glob("*.json")) - before
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def first(copied: Project, prefect_url: str) -> dict[str, Any]:
    """Return the record of a first scheduled run, beside a change that would break it and is not committed."""
    (copied.root / "components" / "features" / "prepare.py").write_text("raise SystemExit('not committed')\n")
    return scheduled(copied, prefect_url)


def test_scheduled_runs_work_at_the_commit_and_go_on_from_one_another(
    copied: Project, first: dict[str, Any], prefect_url: str
) -> None:
    commit = copied.git("rev-parse", "HEAD").strip()
    assert (first["commit"], first["ref"]) == (commit, "HEAD")
    assert first["outcome"]["version"] == 1
    assert {stage["verdict"] for stage in first["outcome"]["stages"]} == {"ran"}
    assert first["used"]["dvc.lock"] != first["left"]["dvc.lock"]
    remote = copied.root / ".towpath" / "dvc-remote"
    assert any((remote / "runs").rglob("*")), "the run cache was not pushed"
    assert not (copied.root / "out").exists(), "the run worked in the user's own folder"
    assert copied.git("status", "--porcelain").split() == ["M", "components/features/prepare.py"]

    shutil.rmtree(copied.root / CHECKOUTS)  # as on another machine: everything comes from the remote
    second = scheduled(copied, prefect_url)
    assert second["used"]["dvc.lock"] == first["left"]["dvc.lock"], "it did not go on from the last good run"
    assert second["outcome"]["up_to_date"], "what the remote holds was computed again"
    assert second["outcome"]["version"] == 1
    ledger = copied.json("releases", MODEL)
    assert "1" in json.dumps(ledger)

    shutil.rmtree(copied.root / ".towpath" / "schedules" / "kept")  # then only the run cache knows what was computed
    shutil.rmtree(copied.root / CHECKOUTS)
    third = scheduled(copied, prefect_url)
    assert {stage["verdict"] for stage in third["outcome"]["stages"]} == {"restored"}
    assert third["outcome"]["version"] == 1


def test_a_checkout_belongs_to_one_run_and_refuses_other_locks(copied: Project) -> None:
    commit = resolve("HEAD", copied.root)
    with open_checkout(MODEL, commit, copied.root) as checkout:
        with pytest.raises(AlreadyRunningError, match="another run works"), open_checkout(MODEL, commit, copied.root):
            pass
        with pytest.raises(StageTimeoutError, match="was stopped after"):
            run_inside(checkout, RunRequest(MODEL), timeout_s=0.1)  # with nothing to do it takes under a second
    lock = copied.root / "infra" / "locks" / "main.txt"
    text = lock.read_text()
    lock.write_text(text + "\n# another environment\n")
    try:
        with pytest.raises(BadInputError, match="make setup"), open_checkout(MODEL, commit, copied.root):
            pass
    finally:
        lock.write_text(text)
    with pytest.raises(BadInputError, match="names no commit"):
        resolve("no-such-branch", copied.root)


def test_bytes_that_the_remote_lost_stop_the_run_as_a_fault_of_the_infrastructure(
    copied: Project, first: dict[str, Any]
) -> None:
    commit = resolve("HEAD", copied.root)
    shutil.rmtree(copied.root / CHECKOUTS, ignore_errors=True)
    remote = copied.root / ".towpath" / "dvc-remote"
    aside = remote.with_name("aside")
    remote.rename(aside)
    try:
        with open_checkout(MODEL, commit, copied.root) as checkout:
            assert checkout.stages(), "there is nothing to miss"
            with pytest.raises(InfrastructureError, match="`dvc checkout` of breast_cancer"):
                checkout.pull()
    finally:
        shutil.rmtree(remote, ignore_errors=True)
        aside.rename(remote)


def test_the_clean_up_leaves_a_checkout_in_use_and_does_nothing_in_a_dry_run(copied: Project) -> None:
    commit = resolve("HEAD", copied.root)
    with open_checkout(MODEL, commit, copied.root) as checkout:
        folder = checkout.folder
        assert clean_up(copied.root, 0, 1, dry_run=False) == []
    assert clean_up(copied.root, 14, 1, dry_run=False) == []
    assert clean_up(copied.root, 0, 1, dry_run=True) == [folder]
    assert folder.is_dir()
    with hold(Path("elsewhere/else"), copied.root):
        assert clean_up(copied.root, 0, 1, dry_run=False) == [folder]
    assert not folder.exists()
