"""Runs over a real MLflow server and over a database used directly."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

from components.errors import ConfigError, UnknownNameError
from components.tracking.tracker import CACHED_FROM_TAG, RunStatus, Tracker

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shared_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("database")


@pytest.fixture(params=["server", "database"])
def tracker(request: pytest.FixtureRequest, shared_database: Path) -> Tracker:
    if request.param == "server":
        return Tracker(request.getfixturevalue("mlflow_server"), shared_database / "unused")
    return Tracker(f"sqlite:///{shared_database}/deep/mlflow.db", shared_database / "artifacts")


@pytest.fixture
def model() -> str:
    return f"taxi_{uuid4().hex[:8]}"


def test_a_run_of_the_pipeline_is_linked_to_its_flow_run_and_its_trainings(tracker: Tracker, model: str) -> None:
    parent = tracker.start_pipeline_run(
        model, flow_run_id="f-1", flow_run_url="http://prefect/f-1", tags={"a": "b"}, parameters={"force": ["train"]}
    )
    child = tracker.start_training_run(parent, model, "taxi-keras", parameters={"rate": 0.1, "seed": None})
    tracker.finish(child)
    tracker.finish(parent)
    runs = {run: tracker.connection.client.get_run(run) for run in (parent, child)}
    tags = runs[parent].data.tags
    assert (tags["prefect.flow_run_id"], tags["prefect.flow_run_url"], tags["a"]) == ("f-1", "http://prefect/f-1", "b")
    assert runs[parent].data.params == {"force": '["train"]'}
    assert runs[child].data.params == {"rate": "0.1", "seed": "null"}
    assert runs[child].data.tags["mlflow.parentRunId"] == parent
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    if tracker.connection.is_server:
        experiment = runs[child].info.experiment_id
        assert tracker.run_url(child) == f"{tracker.connection.uri}/#/experiments/{experiment}/runs/{child}"
    else:
        assert tracker.run_url(child) is None


def test_metrics_arrive_while_a_training_runs(tracker: Tracker, model: str, tmp_path: Path) -> None:
    client, progress = tracker.connection.client, tmp_path / "progress.jsonl"
    run = tracker.start_training_run(tracker.start_pipeline_run(model), model, "taxi-keras")
    with tracker.follow(progress, run, interval_s=0.05), progress.open("w") as file:
        for step, value in enumerate((0.5, None, 0.25)):
            line = {"event": "metric", "step": step, "name": "loss", "value": value, "time": time.time()}
            file.write(json.dumps(line) + "\n")
        file.flush()
        deadline = time.monotonic() + 30
        while len(client.get_metric_history(run, "loss")) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert client.get_run(run).info.status == "RUNNING"
    history = sorted(client.get_metric_history(run, "loss"), key=lambda metric: metric.step)
    assert [metric.value for metric in history] == pytest.approx([0.5, math.nan, 0.25], nan_ok=True)
    assert client.get_run(run).data.metrics == {"loss": 0.25}


def test_a_cached_training_replays_what_it_stored(tracker: Tracker, model: str, tmp_path: Path) -> None:
    stored = tmp_path / "metrics.jsonl"
    stored.write_text("".join(f'{{"step": {step}, "name": "loss", "value": {step / 10}}}\n' for step in range(2500)))
    first = tracker.start_training_run(tracker.start_pipeline_run(model), model, "taxi-keras")
    tracker.set_tags(first, {"towpath.product_digest": "d" * 64})
    tracker.finish(first)
    found = tracker.find_training_run(model, "taxi-keras", "d" * 64)
    assert found == first
    assert tracker.find_training_run(model, "taxi-keras", "e" * 64) is None
    second = tracker.start_training_run(
        tracker.start_pipeline_run(model),
        model,
        "taxi-keras",
        cached_from=found,
        tags={"towpath.product_digest": "d" * 64},
    )
    assert tracker.replay(stored, second) == 2500
    tracker.finish(second)
    run = tracker.connection.client.get_run(second)
    assert run.data.tags[CACHED_FROM_TAG] == first
    assert run.data.metrics["loss"] == pytest.approx(249.9)
    assert tracker.replay(stored, second) == 2500
    assert tracker.find_training_run(model, "taxi-keras", "d" * 64) == first, "a replay is nobody's origin"


def test_a_pipeline_that_is_stopped_takes_its_open_trainings_with_it(tracker: Tracker, model: str) -> None:
    parent = tracker.start_pipeline_run(model)
    done, failed, still_open = (tracker.start_training_run(parent, model, name) for name in ("a", "b", "c"))
    other = tracker.start_training_run(tracker.start_pipeline_run(model), model, "d")
    tracker.finish(done)
    tracker.finish(failed, RunStatus.FAILED)
    tracker.finish(parent, RunStatus.KILLED)
    runs = [tracker.connection.client.get_run(run).info.status for run in (parent, done, failed, still_open, other)]
    assert runs == ["KILLED", "FINISHED", "FAILED", "KILLED", "RUNNING"]


def test_files_land_where_they_were_told_to_and_never_in_mlruns(
    tracker: Tracker, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plots = tmp_path / "plots"
    plots.mkdir()
    (plots / "roc.png").write_bytes(b"png")
    run = tracker.start_pipeline_run(model)
    tracker.log_artifact(run, plots, "plots")
    tracker.log_artifact(run, plots / "roc.png")
    client = tracker.connection.client
    assert {each.path for each in client.list_artifacts(run)} == {"plots", "roc.png"}
    assert [each.path for each in client.list_artifacts(run, "plots")] == ["plots/roc.png"]
    assert not (tmp_path / "mlruns").exists()
    if not tracker.connection.is_server:
        assert "/artifacts/" + model in client.get_run(run).info.artifact_uri


def test_many_may_start_the_first_run_of_a_model_at_once(tracker: Tracker, model: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda _: tracker.start_pipeline_run(model), range(4)))
    experiments = {tracker.connection.client.get_run(run).info.experiment_id for run in runs}
    assert (len(set(runs)), len(experiments)) == (4, 1)


def test_a_model_whose_experiment_was_deleted_gets_it_back(tracker: Tracker, model: str) -> None:
    client = tracker.connection.client
    experiment = client.get_run(tracker.start_pipeline_run(model)).info.experiment_id
    client.delete_experiment(experiment)
    assert client.get_run(tracker.start_pipeline_run(model)).info.experiment_id == experiment


def test_a_run_that_does_not_exist_is_named(tracker: Tracker) -> None:
    with pytest.raises(UnknownNameError, match="ending a run"):
        tracker.finish("0" * 32)


def test_an_address_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected http"):
        Tracker("file:///tmp/mlruns", tmp_path)


def test_tracking_and_registering_import_no_framework_and_send_nothing_home() -> None:
    code = """
import os, sys
from components.tracking.connection import connect
from components.registry.registry import Registry
Registry(connect("http://127.0.0.1:9"))
import mlflow.pyfunc
assert not {"tensorflow", "torch", "keras", "lightning"} & set(sys.modules)
from mlflow.telemetry.client import get_telemetry_client
assert get_telemetry_client() is None
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
