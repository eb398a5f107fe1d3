"""A scheduled training that hangs where it only waits: it is killed when its time is up, and the next one can work."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from components.errors import InfrastructureError, StageTimeoutError
from pipelines.run import RunRequest
from pipelines.schedules.checkout import Checkout, hold, resolve
from pipelines.schedules.clone import check_out
from pipelines.schedules.training import LOGS, _train
from pipelines.state import CHECKOUTS
from tests.unit.pipelines.conftest import CONFIG


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a committed project, in which `dvc` is whatever `dvc/__main__.py` says."""
    monkeypatch.chdir(tmp_path)
    for name, text in {"pipelines/configs/boxes.yaml": CONFIG, "data/boxes/batches.dvc": "outs: []\n"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "--quiet"], ["add", "--all"], [*who, "commit", "--quiet", "--message", "boxes"]):
        subprocess.run(["git", *arguments], check=True)
    return tmp_path


def dvc(project: Path, code: str) -> None:
    (project / "dvc").mkdir(exist_ok=True)
    (project / "dvc/__init__.py").touch()
    (project / "dvc/__main__.py").write_text(code)


def test_a_fetch_that_hangs_is_killed_when_the_runs_time_is_up(project: Path) -> None:
    dvc(project, "import time; time.sleep(3600)")
    checkout = Checkout("boxes", "abc", project, project, deadline=time.monotonic() + 0.2)
    with pytest.raises(StageTimeoutError, match="`dvc fetch` of boxes at abc was killed after"):
        checkout.pull()


def test_what_a_run_read_is_sent_also_when_it_used_its_time_up(project: Path) -> None:
    dvc(project, "import pathlib, sys; pathlib.Path('called').write_text(' '.join(sys.argv[1:]))")
    checkout = Checkout("boxes", "abc", project, project, deadline=time.monotonic() - 1)
    checkout.keep_batches()
    assert (project / "called").read_text().startswith("push ")


def test_a_push_that_hangs_is_killed_too(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.schedules.checkout._SENDING_S", 0.2)
    dvc(project, "import time; time.sleep(3600)")
    for send in (Checkout.push, Checkout.keep_batches):
        with pytest.raises(StageTimeoutError, match="`dvc push`"):
            send(Checkout("boxes", "abc", project, project, deadline=time.monotonic()))


def test_a_run_has_its_time_from_its_checkout_on_and_lets_go_of_it(project: Path) -> None:
    commit = resolve("HEAD")
    with pytest.raises(StageTimeoutError, match="`git clone`"):
        _train.fn(RunRequest("boxes"), "boxes", commit, 0)
    with hold(project / CHECKOUTS / commit / "boxes", project):
        assert not (project / LOGS / "boxes.log").exists(), "the run went on"


def test_a_clone_in_which_git_was_killed_is_made_again(project: Path) -> None:
    commit = resolve("HEAD")
    folder = project / CHECKOUTS / commit / "boxes"
    half = folder.with_name(".boxes.new")
    (half / ".git" / "info").mkdir(parents=True)
    (half / ".git" / "HEAD").write_text("half of it")
    check_out(folder, commit, project, None)
    assert (folder / "pipelines/configs/boxes.yaml").read_text() == CONFIG
    assert not half.exists()
    (folder / ".git" / "index.lock").touch()
    (folder / "pipelines/configs/boxes.yaml").unlink()
    check_out(folder, commit, project, None)
    assert (folder / "pipelines/configs/boxes.yaml").read_text() == CONFIG


def test_a_dvc_that_fails_is_told_in_its_own_words(project: Path) -> None:
    dvc(project, "raise SystemExit('no such remote')")
    with pytest.raises(InfrastructureError, match="`dvc fetch` of boxes at abc failed: no such remote"):
        Checkout("boxes", "abc", project, project).pull()
