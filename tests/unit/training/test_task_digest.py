"""Which changes end a checkpoint: of an environment that a kind runs in, its lock is one."""

import dataclasses
import json
from pathlib import Path

import pytest

from components.training.core.environment_choice import choice_variable, read_environment, this_machine
from components.training.core.task import task_digest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def task_of(make_task, tmp_path, monkeypatch):
    """Return the task of a kind, in a project whose kind `tfx` has two locks for this machine."""
    monkeypatch.delenv(choice_variable("tfx"), raising=False)
    for name in ("constant_trainer.py", "tfx_trainer.py"):
        copy(f"components/training/{name}", tmp_path)
    for name in ("constant/prior.py", "tfx/mlp.py"):
        copy(f"components/models/{name}", tmp_path)
    copy("components/training/tfx/environment.json", tmp_path)
    path = tmp_path / "components/training/tfx/environment.json"
    content, here = json.loads(path.read_text()), this_machine()
    for choice in content["choices"]:
        choice["platforms"] = [{"system": here.system, "machine": here.machine, "least": "0"}]
    path.write_text(json.dumps(content))
    (tmp_path / "prepared").mkdir()
    return lambda kind, name: dataclasses.replace(make_task(), kind=kind, architecture=name)


def copy(name, root):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes((ROOT / name).read_bytes())


def test_checkpoint_does_not_go_on_under_another_lock(task_of, monkeypatch):
    task = task_of("tfx", "mlp")
    usual = task_digest(task)
    first, second = (each.name for each in read_environment("tfx").choices)

    monkeypatch.setenv(choice_variable("tfx"), first)
    assert task_digest(task) == usual
    monkeypatch.setenv(choice_variable("tfx"), second)
    assert task_digest(task) != usual


def test_kind_without_an_environment_of_its_own_is_not_concerned(task_of, monkeypatch):
    task = task_of("constant", "prior")
    usual = task_digest(task)
    monkeypatch.setenv(choice_variable("tfx"), "tfx-1.21")

    assert task_digest(task) == usual
