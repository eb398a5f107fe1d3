"""What the train stage refuses before a framework is started, and what a trainer from elsewhere needs."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from components.stage.files import write_json
from components.types import record
from components.types.training import PreparedSpec


@pytest.fixture
def project(make_project):
    return make_project("binary")


def refused(project, training="t", **environment):
    run = project.train(training, **environment)
    assert run.error is not None, run.output
    assert not project.output(training).exists()
    return run.code, run.error["kind"], run.error["message"]


@pytest.mark.parametrize(("typed", "meant"), [("skleran", "sklearn"), ("tfxx", "tfx")])
def test_unknown_kind_is_answered_with_the_nearest_one(project, typed, meant):
    project.configure("t", kind=typed, architecture="mlp")

    code, kind, message = refused(project)

    assert (code, kind) == (2, "ConfigError")
    assert f"did you mean `{meant}`?" in message


@pytest.mark.parametrize(("kind", "known"), [("sklearn", "linear, mlp, trees"), ("tfx", "mlp")])
def test_unknown_architecture_is_answered_with_those_that_exist(project, kind, known):
    project.configure("t", kind=kind, architecture="forest")

    code, error, message = refused(project)

    assert (code, error) == (2, "ConfigError")
    assert known in message


@pytest.mark.parametrize(
    ("kind", "architecture", "keys", "name"),
    [
        ("sklearn", "linear", {"hidden": [8]}, "hidden"),
        ("sklearn", "mlp", {"dropout": 0.5}, "dropout"),
        ("sklearn", "mlp", {"options": {"width": 3}}, "options.width"),
        ("sklearn", "mlp", {"backend": "jax"}, "backend"),
        ("sklearn", "mlp", {"trials": 3}, "trials"),
        ("tfx", "mlp", {"options": {"width": 3}}, "options.width"),
        ("tfx", "mlp", {"backend": "jax"}, "backend"),
    ],
)
def test_key_that_nothing_uses_is_refused(project, kind, architecture, keys, name):
    project.configure("t", kind=kind, architecture=architecture, **keys)

    code, error, message = refused(project)

    assert (code, error) == (2, "ConfigError")
    assert name in message


def test_option_of_another_type_is_refused(project):
    project.configure("t", kind="sklearn", architecture="trees", options={"leaves": "many"})

    _, kind, message = refused(project)

    assert kind == "ConfigError"
    assert "`options.leaves` is 'many', expected int" in message


def test_missing_extra_names_the_line_that_installs_it(project):
    (project.root / "sitecustomize.py").write_text("import sys\nsys.modules['lightning'] = None\n")
    project.configure("t", kind="lightning", architecture="mlp")

    code, kind, message = refused(project, PYTHONPATH=".")

    assert (code, kind) == (2, "MissingExtraError")
    assert "pip install -e '.[lightning]'" in message


def test_prepared_data_of_another_dataset_are_refused(project):
    manifest = project.root / "data/binary/dataset/manifest.json"
    write_json(manifest, {"digest": "1" * 64})
    project.configure("t", kind="constant", architecture="prior")

    code, kind, message = refused(project)

    assert (code, kind) == (1, "DigestMismatchError")
    assert "prepare again" in message


def test_data_that_are_not_prepared_are_refused(project):
    (project.prepared / "prepared.json").unlink()
    project.configure("t", kind="constant", architecture="prior")

    code, kind, message = refused(project)

    assert (code, kind) == (2, "SourceError")
    assert "dvc repro prepare@binary" in message


def test_arrays_that_are_not_those_of_the_spec_are_refused(project):
    np.save(project.prepared / "train.features.npy", np.zeros((3, 5), dtype=np.float32))
    project.configure("t", kind="constant", architecture="prior")

    assert refused(project)[1] == "DigestMismatchError"


def test_product_that_predicts_something_else_is_refused(project):
    shifted = np.load(project.prepared / "validation.features.npy") + 1
    np.save(project.prepared / "validation.features.npy", shifted)  # the framework sees other rows than the product
    project.configure("t", kind="sklearn", architecture="linear")

    code, kind, message = refused(project)

    assert (code, kind) == (4, "ParityError")
    assert "allowed is 0.0001" in message


def test_failed_training_leaves_the_earlier_output_as_it_was(project):
    project.configure("t", kind="constant", architecture="prior")
    assert project.train("t").code == 0
    before = (project.output("t") / "result.json").read_bytes()
    np.save(project.prepared / "train.features.npy", np.zeros((3, 5), dtype=np.float32))

    assert project.train("t").code == 1

    assert (project.output("t") / "result.json").read_bytes() == before


def test_error_of_the_users_function_is_told_in_one_sentence(project):
    file = project.root / "components/models/sklearn/mine.py"
    file.write_text("PARAMETERS = ()\n\ndef build(task):\n    return task.parameters['hidden']\n")
    project.configure("t", kind="sklearn", architecture="mine")

    _, kind, message = refused(project)

    assert kind == "ConfigError"
    assert "`hidden` is read but not declared" in message


def test_function_that_fails_is_a_training_error_with_its_words(project):
    file = project.root / "components/models/sklearn/mine.py"
    file.write_text("PARAMETERS = ()\n\ndef build(task):\n    raise RuntimeError('no such layer')\n")
    project.configure("t", kind="sklearn", architecture="mine")

    _, kind, message = refused(project)

    assert kind == "TrainingError"
    assert "RuntimeError: no such layer" in message


@pytest.mark.slow
@pytest.mark.usefixtures("tfx_python")
def test_function_that_fails_under_tfx_is_told_with_its_component_its_line_and_the_log(project):
    file = project.root / "components/models/tfx/mine.py"
    file.write_text("PARAMETERS = ()\n\ndef build(task):\n    raise RuntimeError('no such layer')\n")
    project.configure("t", kind="tfx", architecture="mine")

    code, kind, message = refused(project)

    assert (code, kind) == (1, "TrainingError")
    where = "component Trainer failed in components/models/tfx/mine.py, line 4"
    assert f"{where}: RuntimeError: no such layer; the whole log is reports/binary/tfx/t.log" in message


def test_users_own_option_reaches_the_users_own_function(project):
    file = project.root / "components/models/sklearn/mine.py"
    file.write_text(
        "from sklearn.neighbors import KNeighborsClassifier\n"
        "PARAMETERS = {'options.neighbours': 5}\n\n"
        "def build(task):\n"
        "    return KNeighborsClassifier(task.parameters['options.neighbours'])\n"
    )
    project.configure("t", kind="sklearn", architecture="mine", options={"neighbours": 7})

    run = project.train("t")

    assert run.error is None
    assert project.result("t").parameters["options.neighbours"] == 7


def test_same_training_in_two_processes_is_refused(project):
    file = project.root / "components/models/constant/slow.py"
    file.write_text("import time\nPARAMETERS = ()\n\ndef build(task):\n    time.sleep(30)\n")
    project.configure("t", kind="constant", architecture="slow")
    first = project.start("t")
    try:
        work = project.root / ".towpath/work/t/task.json"
        while not work.is_file():
            assert first.poll() is None
        second = subprocess.run(
            [sys.executable, "-m", "components.training", "binary", "t"],
            cwd=project.root,
            env={name: value for name, value in os.environ.items() if name != "TOWPATH_CALL_DIR"},
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert second.returncode == 3
        assert "is going on in another process" in second.stderr
    finally:
        first.terminate()
        first.wait()


def test_worker_that_is_killed_is_reported(project):
    file = project.root / "components/models/constant/dies.py"
    file.write_text("import os\nPARAMETERS = ()\n\ndef build(task):\n    os.kill(os.getpid(), 9)\n")
    project.configure("t", kind="constant", architecture="dies")

    _, kind, message = refused(project)

    assert kind == "StageFailedError"
    assert "SIGKILL" in message


def test_trainer_from_another_package_is_found_by_its_entry_point(project):
    add_plugin(project, "echo", "components.training.echo_trainer:EchoTrainer")
    folder = project.root / "components/training"
    (folder / "echo_trainer.py").write_text(
        '"""From towpath-echo 1.0."""\n'
        "from components.training.constant_trainer import ConstantTrainer as EchoTrainer\n"
        "PARAMETERS = ()\n"
    )
    (folder / "echo").mkdir()
    (folder / "echo/export.py").write_text("from components.training.constant.export import export\n")
    models = project.root / "components/models/echo"
    models.mkdir()
    (models / "__init__.py").write_text("")
    (models / "prior.py").write_text("from components.models.constant.prior import build\nPARAMETERS = ()\n")
    project.configure("t", kind="echo", architecture="prior")

    run = project.train("t", PYTHONPATH=".")

    assert run.error is None
    assert project.result("t").kind == "echo"


def test_plugin_that_cannot_load_stops_the_run(project):
    add_plugin(project, "echo", "no_such_package.trainer:Trainer")
    (project.root / "components/training/echo_trainer.py").write_text("PARAMETERS = ()\n")
    models = project.root / "components/models/echo"
    models.mkdir()
    (models / "prior.py").write_text("PARAMETERS = ()\n")
    project.configure("t", kind="echo", architecture="prior")

    _, kind, message = refused(project, PYTHONPATH=".")

    assert kind == "ConfigError"
    assert "no_such_package" in message


def add_plugin(project, name, value):
    """Install a distribution that names a trainer."""
    folder = project.root / "towpath_echo-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: towpath-echo\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[towpath.trainers]\n{name} = {value}\n")


def test_result_holds_no_time_and_no_absolute_path(project):
    project.configure("t", kind="constant", architecture="prior")
    assert project.train("t").error is None

    text = (project.output("t") / "result.json").read_text()

    assert str(project.root) not in text
    spec = record.read(PreparedSpec, project.prepared / "prepared.json")
    assert json.loads(text)["dataset_digest"] == spec.dataset_digest
