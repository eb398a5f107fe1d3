"""The locks of kinds' own environments, and what may never be in the main one."""

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from components.training.core.environment_choice import read_environment

ROOT = Path(__file__).resolve().parents[3]
NEVER = {
    "apache-beam", "ml-metadata", "tensorflow-data-validation", "tensorflow-metadata", "tensorflow-model-analysis",
    "tensorflow-transform", "tf-keras", "tfx", "tfx-bsl",
}  # fmt: skip


def locked(name: str) -> dict[str, str]:
    text = (ROOT / "infra/locks" / name).read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))


def test_main_lock_has_no_package_of_tfx():
    assert not NEVER & set(locked("main.txt"))
    assert all(not version.startswith("2.16") for name, version in locked("main.txt").items() if "tensorflow" in name)


def test_main_environment_has_no_package_of_tfx():
    installed = {each.name.lower().replace("_", "-"): each.version for each in importlib.metadata.distributions()}

    assert "towpath" in installed
    assert not NEVER & set(installed)
    assert all(not version.startswith("2.16") for name, version in installed.items() if name.startswith("tensorflow"))


@pytest.mark.parametrize(("lock", "version"), [("tfx-1.16.txt", "1.16.0"), ("tfx-1.21.txt", "1.21.0")])
def test_lock_of_tfx_has_that_tfx_and_every_package_has_a_hash(lock, version):
    text = (ROOT / "infra/locks" / lock).read_text()

    assert locked(lock)["tfx"] == version
    assert {"pip", "setuptools", "wheel"} <= set(locked(lock))
    assert len(re.findall(r"^\S+==.*\\\n    --hash=sha256:", text, re.MULTILINE)) == len(
        re.findall("^[a-z]", text, re.M)
    )


def test_every_lock_that_is_declared_is_in_the_project():
    for choice in read_environment("tfx", ROOT).choices:
        assert (ROOT / choice.lock).is_file()


@pytest.fixture
def project(tmp_path):
    """The files that the check reads."""
    shutil.copytree(ROOT / "infra", tmp_path / "infra")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    declaration = tmp_path / "components/training/tfx/environment.json"
    declaration.parent.mkdir(parents=True)
    shutil.copy(ROOT / "components/training/tfx/environment.json", declaration)
    return tmp_path


def check(project: Path) -> tuple[int, str]:
    command = [sys.executable, "infra/lock.py", "--check"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert not done.stderr
    return done.returncode, done.stdout


def test_locks_are_those_of_the_project(project):
    assert check(project) == (0, "")


def test_comment_in_what_is_wanted_makes_no_lock_stale(project):
    path = project / "infra/locks/tfx-1.16.in"
    path.write_text("# said anew\n" + path.read_text())

    assert check(project) == (0, "")


def test_wanted_package_that_the_lock_was_not_made_of_is_noticed(project):
    path = project / "infra/locks/tfx-1.16.in"
    path.write_text(path.read_text().replace("apache-beam==2.59.0", "apache-beam==2.60.0"))

    code, said = check(project)

    assert code == 1
    assert said == "tfx-1.16.txt in infra/locks is not made from this tfx-1.16.in; run `make lock`\n"


def test_lock_that_was_changed_by_hand_is_noticed(project):
    path = project / "infra/locks/tfx-1.21.txt"
    path.write_text(path.read_text() + "six==1.16.0\n")

    code, said = check(project)

    assert code == 1
    assert "environment.json has another digest of tfx-1.21.txt" in said


def test_other_interpreter_needs_other_locks(project):
    path = project / "components/training/tfx/environment.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "python": "3.12"}))

    assert "tfx-1.16.txt" in check(project)[1]


def test_report_says_which_tfx_this_machine_gets_and_where_it_would_lie(tmp_path, monkeypatch):
    monkeypatch.setenv("TOWPATH_ENVIRONMENTS", str(tmp_path))
    done = subprocess.run([sys.executable, "infra/environments.py"], cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    if first.startswith("Kind tfx gets"):
        assert re.match(r"Kind tfx gets tfx-1\.(16|21) on this machine \(", first)
        assert "is not installed" in rest[0]
    else:
        assert "cannot be installed on this machine" in first


def test_report_says_that_one_is_broken_or_of_a_former_lock(tmp_path, monkeypatch):
    monkeypatch.setenv("TOWPATH_ENVIRONMENTS", str(tmp_path))
    for choice in read_environment("tfx", ROOT).choices:
        (tmp_path / choice.folder_name).mkdir()
    (tmp_path / "tfx-1.16-000000000000").mkdir()
    done = subprocess.run([sys.executable, "infra/environments.py"], cwd=ROOT, capture_output=True, text=True)

    if "gets" not in done.stdout:
        pytest.skip("this machine can have no TFX")
    assert "is broken: it has no readable towpath.json; run `make tfx`" in done.stdout
    assert "tfx-1.16-000000000000 is of a former lock" in done.stdout
