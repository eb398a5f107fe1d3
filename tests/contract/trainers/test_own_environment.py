"""A kind from elsewhere that declares an environment of its own: a real training, through the stage, in a real one."""

import hashlib
import json
import sysconfig
import zipfile

import pytest

from components.stage.files import file_digest
from components.training.core.environment_choice import this_machine

TRAINER = """
import os
import sys
from pathlib import Path

from components.training.constant_trainer import ConstantTrainer

PARAMETERS = ()


class EchoTrainer(ConstantTrainer):
    def fit(self, task):
        Path(os.environ["ECHO_FILE"]).write_text(sys.prefix)
        return super().fit(task)
"""


@pytest.fixture
def project(make_project, tmp_path, monkeypatch):
    """A project with a kind ``echo``; the one package of its environment borrows all others from the main one."""
    project = make_project("binary")
    code = project.root / "components"
    (code / "training/echo_trainer.py").write_text(TRAINER)
    (code / "training/echo").mkdir()
    (code / "training/echo/export.py").write_text("from components.training.constant.export import export as export\n")
    (code / "models/echo").mkdir()
    (code / "models/echo/prior.py").write_text((code / "models/constant/prior.py").read_text())
    points = project.root / "towpath_echo-1.0.dist-info/entry_points.txt"
    points.parent.mkdir()
    points.write_text("[towpath.trainers]\necho = components.training.echo_trainer:EchoTrainer\n")
    lock = project.root / "infra/locks/echo.txt"
    lock.parent.mkdir(parents=True)
    lock.write_text(make_requirement(tmp_path))
    machine = this_machine()
    platform = {"system": machine.system, "machine": machine.machine, "least": "1.0"}
    choice = {"name": "echo-1", "lock": "infra/locks/echo.txt", "lock_sha256": file_digest(lock), "disk_gb": 0.001}
    declared = {"title": "Echo", "install": "make echo", "python": sysconfig.get_python_version()}
    declared["variables"] = {"ECHO_FILE": str(tmp_path / "echo")}
    declared["choices"] = [{**choice, "platforms": [platform]}]
    (code / "training/echo/environment.json").write_text(json.dumps(declared))
    monkeypatch.delenv("TOWPATH_ENVIRONMENTS", raising=False)
    project.configure("t", kind="echo", architecture="prior")
    return project


def make_requirement(folder):
    wheel, about = folder / "borrowed-1.0-py3-none-any.whl", "borrowed-1.0.dist-info"
    files = {
        "borrowed.pth": f"{sysconfig.get_path('purelib')}\n",
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: borrowed\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{about}/RECORD"] = "".join(f"{each},,\n" for each in [*files, f"{about}/RECORD"])
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return f"borrowed @ {wheel.as_uri()} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


def notes(project):
    return [event["text"] for event in project.events("t") if event["event"] == "note"]


def test_first_training_installs_the_environment_says_so_and_runs_in_it(project, tmp_path):
    run = project.train("t")

    assert run.error is None, run.output
    folder = next((project.root / ".towpath/environments").glob("echo-1-*/"))
    assert (tmp_path / "echo").read_text() == str(folder)
    assert notes(project)[0].startswith("installing Echo (echo-1)")
    assert notes(project)[-1].startswith("installed Echo")
    assert project.result("t").kind == "echo"

    assert project.train("t").error is None
    assert notes(project) == []


def test_broken_environment_stops_the_training_with_what_to_do(project):
    assert project.train("t").error is None
    folder = next((project.root / ".towpath/environments").glob("echo-1-*/"))
    next(folder.glob("lib/python*/site-packages/borrowed.pth")).unlink()

    run = project.train("t")

    assert run.code == 2
    assert run.error is not None
    assert run.error["kind"] == "MissingExtraError"
    assert f"borrowed.pth is missing from its packages; delete {folder}" in run.error["message"]


def test_machine_that_cannot_have_it_is_refused_before_anything_is_fetched(project):
    path = project.root / "components/training/echo/environment.json"
    declared = json.loads(path.read_text())
    declared["choices"][0]["platforms"][0]["least"] = "99.0"
    path.write_text(json.dumps(declared))

    run = project.train("t")

    assert run.code == 2
    assert run.error is not None
    assert "Echo, which kind `echo` needs, cannot be installed on this machine" in run.error["message"]
    assert not list((project.root / ".towpath").glob("environments/*"))
