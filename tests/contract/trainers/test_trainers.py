"""What every trainer promises, whatever its framework: one suite over all kinds."""

import json
import os
import signal
import time
from importlib.util import find_spec

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.runtime.table import find_runtime
from components.runtime.tensors import input_tensors
from components.stage.files import tree_digest
from components.types.product import ProductRef

NEEDS = {
    "constant": (),
    "sklearn": (),
    "keras": ("keras", "tensorflow"),
    "lightning": ("lightning", "torch"),
    "tfx": (),  # its environment is a fixture
}
NETWORKS = ("sklearn", "keras", "lightning", "tfx")
"""Kinds that train a multilayer perceptron by epochs."""
LEARNS = {"epochs": 40, "batch_size": 32, "learning_rate": 0.01}
KEYS = {
    "binary": {"epochs": 300, "patience": 3, "learning_rate": 0.1, "batch_size": 16},  # stops early
    "multiclass": LEARNS | {"patience": None, "checkpoint_every_s": 0.0},  # can be killed after any epoch
    "regression": LEARNS,
    "image": LEARNS,
}
SHOWN_ELSEWHERE = {
    ("keras", "image"): "tests/unit/training/frameworks/test_keras_trainer.py",
    ("lightning", "image"): "tests/unit/training/frameworks/test_lightning_trainer.py",
    ("tfx", "regression"): "tests/integration/tfx/test_model.py",
    ("tfx", "multiclass"): "tests/integration/tfx/test_model.py",
}
READ_YAML = ("lightning", "tfx")
"""Kinds whose frameworks read YAML for themselves."""
FULL = os.environ.get("TOWPATH_FULL") == "1"
SOME = NETWORKS if FULL else ("sklearn",)
"""Kinds for what is the stage's own, or shown of every kind by another test too: a killed training ends in the same
bytes, and the tests of the frameworks have images, weights, signals and losses of their own."""
STOPS = [(each, how) for each in dict.fromkeys((*SOME, "tfx")) for how in ("SIGTERM", "parent killed")]
STOPS += [(each, "time-out") for each in SOME]  # the stage ends its worker as it does after a SIGTERM
ENDLESS = {"epochs": 100_000, "batch_size": 8, "patience": None, "checkpoint_every_s": 0.2}


@pytest.fixture(params=list(NEEDS))
def kind(request):
    return installed(request)


@pytest.fixture(params=NETWORKS)
def network(request):
    return installed(request)


def installed(request):
    if request.param == "tfx":
        request.getfixturevalue("tfx_python")
    if missing := [module for module in NEEDS[request.param] if find_spec(module) is None]:
        pytest.skip(f"{' and '.join(missing)} is not installed")
    return request.param


@pytest.fixture
def trained(train_once):
    """Return a function that gives the finished training of a kind on a table, which tests only look at."""

    def train(kind, table):
        keys = {"architecture": "mlp", **KEYS[table]} if kind in NETWORKS else {"architecture": "prior"}
        return train_once(kind, table, **keys)

    return train


def wait_for(condition, timeout_s=240.0):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def checkpoint(project, training, epoch):
    """Return the newest checkpoint, once it is at `epoch` or later."""
    found = sorted((project.root / ".towpath/checkpoints" / training).glob("*/epoch-*"))
    return found[-1] if found and int(found[-1].name.split("-")[1]) >= epoch else None


@pytest.mark.slow
@pytest.mark.parametrize("table", list(KEYS))
def test_trainer_learns_and_its_product_predicts_the_test_split(trained, kind, table):
    if not FULL and (kind, table) in SHOWN_ELSEWHERE:
        pytest.skip(f"shown by {SHOWN_ELSEWHERE[kind, table]}; set TOWPATH_FULL=1")
    done = trained(kind, table)
    project, training = done.project, done.training

    assert done.run.code == 0
    result = project.result(training)
    assert result.parity <= 1e-4
    assert sorted(path.name for path in project.output(training).iterdir()) == [
        "metrics.jsonl",
        "native",
        "product",
        "result.json",
    ]
    assert sorted(str(path) for path in result.native_files) == sorted(
        path.relative_to(project.output(training)).as_posix()
        for path in (project.output(training) / "native").rglob("*")
        if path.is_file()
    )
    outputs, label = predict(project, training)
    if kind == "constant":
        return
    if table == "regression":
        assert np.corrcoef(outputs["prediction"], label)[0, 1] > 0.9
    else:
        assert (outputs["prediction"] == label).mean() > 0.8
        np.testing.assert_allclose(outputs["probabilities"].sum(axis=1), 1.0, atol=1e-5)


def predict(project, training):
    """Return what the product says of the test split, which no trainer has seen, and its labels."""
    runtime, signature = load_product(project, training)
    table = pq.read_table(project.prepared / "test.parquet")
    return runtime.predict(input_tensors(table, signature.inputs)), np.asarray(table["label"].to_pylist())


def load_product(project, training):
    directory = project.output(training) / "product"
    kind = project.result(training).runtime
    runtime = find_runtime(kind)()
    return runtime, runtime.load(ProductRef(directory, tree_digest(directory), kind))


@pytest.mark.slow
@pytest.mark.parametrize("network", SOME, indirect=True)
def test_same_seed_gives_the_same_bytes(trained, make_project, network):
    first, again = trained(network, "multiclass"), make_project("multiclass")
    assert again.train(again.configure("t", **first.keys)).error is None
    assert tree_digest(again.output("t")) == tree_digest(first.project.output("t"))


@pytest.mark.slow
@pytest.mark.parametrize("network", SOME, indirect=True)
def test_another_seed_gives_other_bytes(trained, make_project, network):
    first, other = trained(network, "multiclass"), make_project("multiclass")
    assert other.train(other.configure("t", **first.keys, seed=2)).error is None
    assert other.result("t").product_digest != first.project.result("t").product_digest


@pytest.mark.slow
def test_metrics_are_the_same_in_the_file_and_in_the_live_stream(trained, kind):
    done = trained(kind, "binary")
    project, training, run = done.project, done.training, done.run

    stored = project.metrics(training)
    live = [
        {key: event[key] for key in ("step", "name", "value")} for event in run.events if event["event"] == "metric"
    ]
    assert stored == live
    steps = sorted({line["step"] for line in stored})
    assert steps == list(range(1, project.result(training).epochs_run + 1))
    for step in steps:
        names = {line["name"] for line in stored if line["step"] == step}
        assert {"loss", "val_loss"} <= names
    assert all(np.isfinite(line["value"]) for line in stored)
    assert [event["epoch"] for event in run.events if event["event"] == "epoch"] == steps
    events = list((project.root / f"reports/binary/tensorboard/{training}").glob("events.out.tfevents.*"))
    assert bool(events) == (find_spec("tensorboard") is not None)


@pytest.mark.slow
def test_early_stopping_keeps_the_best_epoch(trained, network):
    done = trained(network, "binary")
    project, training = done.project, done.training

    result = project.result(training)
    losses = [line["value"] for line in project.metrics(training) if line["name"] == "val_loss"]
    assert result.epochs_run < 300
    assert result.best_epoch == 1 + int(np.argmin(losses))
    assert result.epochs_run == result.best_epoch + 3
    assert log_loss_on_validation(project, training) == pytest.approx(min(losses), rel=1e-3)


def log_loss_on_validation(project, training):
    runtime, signature = load_product(project, training)
    table = pq.read_table(project.prepared / "validation.parquet")
    probabilities = runtime.predict(input_tensors(table, signature.inputs))["probabilities"].astype(np.float64)
    target = np.load(project.prepared / "validation.target.npy")
    return float(-np.log(np.clip(probabilities[np.arange(len(target)), target], 1e-15, 1)).mean())


@pytest.mark.slow
@pytest.mark.parametrize("network", SOME, indirect=True)
def test_killed_training_goes_on_and_ends_as_if_nothing_had_happened(trained, make_project, network):
    undisturbed = trained(network, "multiclass")
    expected = tree_digest(undisturbed.project.output("t"))
    project = make_project("multiclass")
    whole = project.configure("t", **undisturbed.keys)

    process = project.start(whole)
    wait_for(lambda: checkpoint(project, whole, 2) or process.poll() is not None)
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    wait_for(lambda: not any(alive(each) for each in family), 120)
    kept = checkpoint(project, whole, 2)
    assert kept is not None
    run = project.train(whole)

    assert run.error is None
    notes = [event["text"] for event in run.events if event["event"] == "note"]
    assert any("goes on after epoch" in text for text in notes)
    assert tree_digest(project.output(whole)) == expected
    assert not (project.root / ".towpath/checkpoints" / whole).exists()


def alive(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.slow
@pytest.mark.parametrize(("network", "how"), STOPS, indirect=["network"])
def test_stopped_training_leaves_no_process_and_a_checkpoint(trained, make_project, network, how):
    project = make_project("binary")
    timeout_s = max(15.0, 1.5 * trained(network, "binary").took_s)  # enough to come to an epoch, on any machine
    keys = ENDLESS | ({"timeout_s": timeout_s} if how == "time-out" else {})
    training = project.configure("t", kind=network, architecture="mlp", **keys)

    process = project.start(training)
    wait_for(lambda: checkpoint(project, training, 1))
    family = psutil.Process(process.pid).children(recursive=True)
    if how == "SIGTERM":
        os.killpg(process.pid, signal.SIGTERM)
    elif how == "parent killed":
        process.kill()  # the stage alone, not its group
    process.wait(timeout_s + 240)

    wait_for(lambda: not any(alive(each) for each in family), 120)
    assert checkpoint(project, training, 1)
    assert not project.output(training).exists()
    error_file = project.call_dir(training) / "error.json"
    if how != "parent killed":
        kind = json.loads(error_file.read_text())["kind"]
        assert kind == ("StageTimeoutError" if how == "time-out" else "StageCancelledError")


@pytest.mark.slow
@pytest.mark.parametrize("network", SOME, indirect=True)
def test_training_whose_loss_is_no_number_fails_and_leaves_nothing(make_project, network):
    project = make_project("regression")
    write_extreme_values(project.prepared)
    training = project.configure("t", kind=network, architecture="mlp", epochs=3, learning_rate=10.0)

    run = project.train(training)

    assert run.code == 1
    assert run.error["kind"] == "TrainingError"
    assert "learning rate" in run.error["message"]
    assert not project.output(training).exists()


def write_extreme_values(prepared):
    """Put them where each kind reads: in the features, and in the raw rows."""
    path = prepared / "train.features.npy"
    features = np.load(path)
    features[:, 0] = np.float32(3e38)
    np.save(path, features)
    path = prepared / "train.parquet"
    table = pq.read_table(path)
    column = table.schema.get_field_index("a b")
    pq.write_table(table.set_column(column, "a b", pa.array(np.full(len(table), 3e38))), path)


@pytest.mark.slow
def test_processes_import_only_what_is_theirs(trained, kind):
    modules = trained(kind, "binary").modules
    stage, fit, export = modules["binary"], modules["fit"], modules.get("export", set())
    assert bool(export) == (kind != "tfx")  # its product is raw: there is nothing to export
    assert not stage & {"tensorflow", "keras", "torch", "lightning", "jax", "sklearn", "mlflow", "prefect", "dvc"}
    strangers = {"mlflow", "prefect", "dvc", "pydantic", "great_expectations", "polars"}
    for worker in (fit, export):
        assert not worker & (strangers if kind in READ_YAML else strangers | {"yaml"})
    assert "onnxruntime" not in fit
    others = {"keras": {"torch", "lightning", "jax"}, "lightning": {"tensorflow", "keras", "jax"}}
    others["tfx"] = others["keras"]
    assert not fit & others.get(kind, {"tensorflow", "keras", "torch", "lightning", "jax"})


@pytest.mark.slow
def test_training_leaves_next_to_nothing_in_the_temporary_folder(trained, kind):
    folder = trained(kind, "binary").project.temporary
    assert folder.is_dir()
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 1_000_000


@pytest.mark.slow
@pytest.mark.parametrize("network", SOME, indirect=True)
def test_heavier_class_is_predicted_more_often(trained, make_project, network):
    even, project = trained(network, "binary"), make_project("binary")
    path = project.prepared / "prepared.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"class_weights": [0.05, 1.95]}))
    training = project.configure("t", **even.keys)
    assert project.train(training).error is None

    assert share_of_yes(project) > share_of_yes(even.project) + 0.1


def share_of_yes(project):
    return float((predict(project, "t")[0]["prediction"] == "yes").mean())
