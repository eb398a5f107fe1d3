"""`runner: ray` on a real cluster of two nodes: the same files as here, whatever happens to nodes and drivers."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.csv
import pytest
import yaml

from components.stage.files import tree_digest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]
QUICK = {"kind": "sklearn", "architecture": "mlp", "epochs": 5}
LONG = {"kind": "sklearn", "architecture": "mlp", "batch_size": 8, "patience": None, "checkpoint_every_s": 0.2}
PATIENCE_S = 300.0


@pytest.fixture(scope="module")
def project(trainer_projects, tmp_path_factory):
    made = trainer_projects.lay_out(tmp_path_factory.mktemp("ray") / "binary", "binary")
    shutil.copytree(ROOT / "infra/locks", made.root / "infra/locks")
    yield made
    for process in made.started:
        if process.poll() is None:  # its test failed; its trainer ends with it
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def trained(project, two_nodes):
    """Return a training that ran here, and its files' digest."""
    project.configure("t", **QUICK)
    run = project.train("t", TOWPATH_RUNNER="local")
    assert run.error is None
    return run, tree_digest(project.output("t"))


def test_training_on_the_cluster_says_and_writes_what_it_does_here(project, two_nodes, trained):
    here, digest = trained
    shutil.rmtree(project.output("t"))
    ask(project, kind="ray")

    there = project.train("t", **two_nodes.environment)

    assert (there.code, there.error) == (0, None)
    assert tree_digest(project.output("t")) == digest
    assert [plain(each) for each in there.events if each["event"] != "note"] == [plain(each) for each in here.events]
    assert list((project.root / "reports/binary/tensorboard/t").glob("events*"))
    assert not (project.root / ".towpath/checkpoints/t").exists()
    [sent] = [path for node in ("head", "second") for path in two_nodes.folder.glob(f"{node}/towpath-*/prepared/*")]
    assert "train.parquet" in os.listdir(sent)
    assert "test.parquet" not in os.listdir(sent)


def test_trainers_error_comes_back_as_it_is(project, two_nodes):
    project.configure("wrong", **QUICK | {"learning_rate": 1e30})
    ask(project, kind="ray")

    run = project.train("wrong", **two_nodes.environment)

    assert run.code == 1
    assert run.error["kind"] == "TrainingError"
    assert "training wrong" in run.error["message"]


def test_what_no_node_can_ever_give_is_refused(project, two_nodes):
    project.configure("large", **QUICK)
    ask(project, kind="ray", resources={"large": {"cpus": 64, "memory_bytes": 10**15}})

    run = project.train("large", **two_nodes.environment)

    assert run.code == 2
    assert "64 CPUs, 1,000,000,000,000,000 bytes of memory on one node" in run.error["message"]
    assert "models.binary.runner.resources.large" in run.error["message"]


def test_trainings_share_the_cluster_and_survive_a_cancel_a_dead_driver_and_a_dead_node(project, two_nodes):
    for name, epochs in (("a", 100_000), ("b", 100_000)):
        project.configure(name, **LONG, epochs=epochs)
    ask(project, kind="ray", resources={"a": {"cpus": 2}, "b": {"cpus": 2}})  # one node has room for one
    drivers = {name: project.start(name, **two_nodes.environment) for name in ("a", "b")}

    on = {until(lambda node=node: running(two_nodes, node)): node for node in ("head", "second")}
    assert set(on) == {"a", "b"}
    first, second = sorted(on, key=lambda name: on[name])

    # cancelled: the trainer stores its state and is gone, and the state is here
    until(lambda: epochs_said(project, first) > 2)
    group = group_of(two_nodes, "head", first)
    os.killpg(int((project.call_dir(first) / "pid").read_text()), signal.SIGTERM)
    assert drivers[first].wait(240) == 1
    assert json.loads((project.call_dir(first) / "error.json").read_text())["kind"] == "StageCancelledError"
    assert list((project.root / f".towpath/checkpoints/{first}").glob("*/epoch-*"))
    assert not alive(group)

    # its driver is killed after it went on from there: the trainer is gone as well
    driver = project.start(first, **two_nodes.environment)
    until(lambda: epochs_said(project, first) > 0)
    assert any("goes on after epoch" in str(each.get("text")) for each in project.events(first))
    group = group_of(two_nodes, "head", first)
    assert alive(group)
    driver.kill()
    driver.wait()
    until(lambda: not alive(group))

    # a node is killed: its training goes on elsewhere from its checkpoint
    until(lambda: list((project.root / f".towpath/checkpoints/{second}").glob("*/epoch-*")))
    two_nodes.tell("kill second")
    assert until(lambda: running(two_nodes, "head")) == second
    until(lambda: "goes on after epoch" in (project.call_dir(second) / "progress.jsonl").read_text())
    os.killpg(int((project.call_dir(second) / "pid").read_text()), signal.SIGTERM)
    assert drivers[second].wait(240) == 1
    two_nodes.tell("add third")


def test_prediction_on_the_cluster_is_the_prediction_here(project, two_nodes, trained, tmp_path):
    source, product = tmp_path / "rows.csv", project.output("t") / "product"
    digest = project.result("t").product_digest
    values = np.random.default_rng(7).normal(size=(40_000, 5))
    columns = {name: values[:, place] for place, name in enumerate(["a b", "c-d", "e", "f", "g"])}
    pyarrow.csv.write_csv(pa.table({"id": np.arange(len(values)), **columns}), source)

    def predict(where: str, ending: str, rows: Path = source) -> tuple[str, bytes]:
        target = tmp_path / f"{where}{ending}"
        command = [sys.executable, str(Path(__file__).with_name("predict.py"))]
        done = subprocess.run(
            [*command, str(product), digest, str(rows), str(target), where],
            cwd=ROOT, env={**os.environ, **two_nodes.environment, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE, text=True, timeout=120,
        )  # fmt: skip
        return done.stdout.strip(), target.read_bytes() if target.is_file() else b""

    said, expected = predict("here", ".parquet")
    assert (said, len(expected) > 0) == ("40000 0", True)
    assert predict("killed", ".parquet") == ("40000 1", expected)  # by processes of which one was killed

    broken = tmp_path / "broken.csv"
    lines = source.read_text().splitlines()[:5000]
    lines[3000] = lines[3000].replace(lines[3000].split(",")[1], "")
    broken.write_text("\n".join(lines) + "\n")
    said, nothing = predict("there", ".csv", broken)
    assert (said, nothing) == predict("here", ".csv", broken)
    assert said.startswith("SchemaError")


def ask(project, **runner: object) -> None:
    path = project.root / "pipelines/configs/binary.yaml"
    content = yaml.safe_load(path.read_text())
    content["models"]["binary"]["runner"] = runner
    path.write_text(yaml.safe_dump(content))


def plain(event: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in event.items() if name != "time"}


def epochs_said(project, training: str) -> int:
    return sum(1 for each in project.events(training) if each["event"] == "epoch")


def running(cluster, node: str) -> str:
    """Return the training that is going on on a node, or nothing."""
    for path in cluster.folder.glob(f"{node}/towpath-*/work/*/call/pid"):
        with contextlib.suppress(FileNotFoundError, ValueError):
            if alive(int(path.read_text())):
                return path.parents[1].name.partition(".")[0]
    return ""


def group_of(cluster, node: str, training: str) -> int:
    groups = [int(path.read_text()) for path in cluster.folder.glob(f"{node}/towpath-*/work/{training}.*/call/pid")]
    return next(group for group in groups if alive(group))


def alive(group: int) -> bool:
    """Say whether a process of the group is alive; one that only nobody has reaped is not."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                return True
    return False


def until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)
    return found
