"""A whole TFX training in the environment of its own: what it leaves, and how it says what stopped it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from components.data.config import DataSection
from components.data.ingest import ingest
from components.data.probe import write_probe
from components.features.prepare import prepare
from components.stage.files import write_json
from components.types import record, tfx
from components.types.training import TrainingResult

ROOT = Path(__file__).resolve().parents[3]
ROWS = 600
MODEL = "trips"
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tfx_python")]


@dataclass(frozen=True)
class Run:
    code: int
    error: dict[str, str]
    notes: list[str]


@dataclass(frozen=True)
class Project:
    root: Path

    def start(self, training, architecture="mlp", source=None, **keys):
        """Start a training; `source` is the architecture's own, if it is to have one."""
        if source is not None:
            (self.root / f"components/models/tfx/{architecture}.py").write_text(source)
        section = {"model": MODEL, "kind": "tfx", "architecture": architecture, "epochs": 2, "batch_size": 32, **keys}
        path = self.root / f"pipelines/configs/{MODEL}.yaml"
        content = yaml.safe_load(path.read_text())
        content["trainings"][training] = section
        path.write_text(yaml.safe_dump(content))
        calls = self.calls(training)
        calls.mkdir(parents=True)
        return subprocess.Popen(
            [sys.executable, "-m", "components.training", MODEL, training],
            cwd=self.root,
            env={**os.environ, "TOWPATH_CALL_DIR": str(calls)},
        )

    def train(self, training, **keys):
        return self.result(training, self.start(training, **keys).wait(560))

    def result(self, training, code):
        error = self.calls(training) / "error.json"
        return Run(code, json.loads(error.read_text()) if error.is_file() else {}, self.notes(training))

    def notes(self, training):
        path = self.calls(training) / "progress.jsonl"
        events = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
        return [each["text"] for each in events if each["event"] == "note"]

    def calls(self, training):
        return self.root / ".towpath/calls" / training

    def output(self, training):
        return self.root / "out" / MODEL / "trainings" / training

    def log(self, training):
        return (self.root / f"reports/{MODEL}/tfx/{training}.log").read_text()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("tfx")
    shutil.copytree(ROOT / "components", root / "components", ignore=shutil.ignore_patterns("__pycache__"))
    write_prepared(root)
    (root / "out" / MODEL / "prepared/test.parquet").write_text("no trainer reads this")
    return Project(root)


def write_prepared(root):
    random = np.random.default_rng(5)
    fare = np.where(random.random(ROWS) < 0.3, 0.0, random.gamma(2.0, 5.0, ROWS))
    miles = [
        None if gap else value for gap, value in zip(random.random(ROWS) < 0.2, random.normal(size=ROWS), strict=True)
    ]
    table = {
        "fare": fare,
        "miles": miles,
        "month": random.integers(0, 3, ROWS),
        "night": random.random(ROWS) < 0.5,
        "company": random.choice(["", "Blue", "Checker"], ROWS),
        "tipped": np.where(fare > 8, "yes", "no"),
    }
    (root / "data").mkdir()
    pq.write_table(pa.table(table), root / "data/trips.parquet")
    data = {"source": {"kind": "files", "path": "data/trips.parquet"}, "label": "tipped"}
    config = {"models": {MODEL: {"data": data, "features": {"task": "binary"}}}, "trainings": {}}
    path = root / f"pipelines/configs/{MODEL}.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump(config))
    section = DataSection.model_validate(data)
    write_probe(MODEL, section, root)
    manifest = ingest(MODEL, section, root)
    verdict = {"success": True, "dataset_digest": manifest.digest}
    write_json(root / "out" / MODEL / "validation/verdict.json", verdict)
    prepare(MODEL, root)


@pytest.fixture(scope="module")
def whole(project):
    run = project.train("whole", slices=["company"], thresholds=["auc >= 0.6"])
    assert run.error == {}
    assert run.code == 0
    return project.output("whole")


def test_each_component_is_named_as_it_starts(project, whole):
    names = [re.fullmatch(r"whole: (\w+) \((\d) of 8\)", text).groups() for text in project.notes("whole")]

    assert [int(number) for _, number in names] == list(range(1, 9))
    order = [name for name, _ in names]
    assert order.index("ExampleValidator") < order.index("Transform") < order.index("Trainer")
    assert order[-2:] == ["Evaluator", "Pusher"]


def test_zeros_false_and_empty_strings_reach_tfx_and_missing_values_are_counted(project, whole):
    found = record.read(tfx.DataStatistics, whole / "native/tfx" / tfx.STATISTICS_FILE)

    assert [each.split for each in found.splits] == ["train", "validation"]
    for split in found.splits:
        table = pq.read_table(project.root / f"out/{MODEL}/prepared/{split.split}.parquet")
        columns = {each.name: each for each in split.features}
        assert split.rows == len(table)
        assert columns["fare"].zeros == table["fare"].to_pylist().count(0.0) > 0
        assert columns["night"].zeros == table["night"].to_pylist().count(False) > 0
        assert columns["month"].zeros == table["month"].to_pylist().count(0) > 0
        assert columns["miles"].missing == table["miles"].null_count > 0
        counts = {each.value: each.count for each in columns["company"].top_values}
        assert counts[""] == table["company"].to_pylist().count("") > 0
        assert [each.name for each in split.features if each.missing] == ["miles"]


def test_product_and_records_are_of_one_training(whole):
    result = record.read(TrainingResult, whole / "result.json")
    analysis = record.read(tfx.ModelAnalysis, whole / "native/tfx" / tfx.ANALYSIS_FILE)
    lineage = record.read(tfx.Lineage, whole / "native/tfx" / tfx.LINEAGE_FILE)

    assert (result.runtime, result.parity <= 1e-5, result.epochs_run) == ("savedmodel", True, 2)
    assert sorted(path.name for path in (whole / "product").iterdir()) == ["savedmodel", "signature.json"]
    assert analysis.product_digest == result.product_digest
    assert analysis.blessed
    assert {each.value for each in analysis.slices} == {"", "Blue", "Checker"}
    assert record.read(tfx.Anomalies, whole / "native/tfx" / tfx.ANOMALIES_FILE).anomalies == ()
    assert {each.state for each in lineage.executions} == {"COMPLETE"}
    assert {"Transform", "Trainer", "Evaluator", "Pusher"} <= {
        each.type.rpartition(".")[2] for each in lineage.executions
    }


def test_kept_files_say_nothing_of_time_or_machine(project, whole):
    for path in (whole / "native").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert str(project.root).encode() not in content
            assert time.strftime("%Y-%m-%d").encode() not in content
    assert not (project.root / ".towpath/work/whole").exists()


def test_all_that_tfx_says_is_in_the_log_and_not_in_the_stages_output(project, whole):
    assert "apache_beam" in project.log("whole")
    assert (project.calls("whole") / "log").read_text() == ""


def test_options_reach_beam_and_a_component_that_dies_is_named_with_its_log(project):
    run = project.train("elsewhere", beam=["--runner=NowhereRunner"])

    assert (run.code, run.error["kind"]) == (1, "TrainingError")
    message = run.error["message"]
    assert "component StatisticsGen failed" in message
    assert "NowhereRunner" in message
    assert f"reports/{MODEL}/tfx/elsewhere.log" in message
    assert "Traceback" in project.log("elsewhere")
    assert not project.output("elsewhere").exists()


SCHEMA = '''
PARAMETERS = ()
SCHEMA = """
feature { name: "fare" type: FLOAT presence { min_fraction: 1.0 } shape {} }
feature { name: "miles" type: FLOAT presence { min_fraction: 1.0 } shape {} }
feature { name: "month" type: INT presence { min_fraction: 1.0 } shape {} int_domain { max: 1 } }
feature { name: "night" type: INT presence { min_fraction: 1.0 } shape {} }
feature { name: "company" type: BYTES presence { min_fraction: 1.0 } shape {} }
feature { name: "tipped" type: BYTES presence { min_fraction: 1.0 } shape {} }
feature { name: "id" type: BYTES presence { min_fraction: 1.0 } shape {} }
"""

def preprocessing_fn(inputs):
    return inputs
'''


def test_data_that_do_not_meet_the_schema_are_refused_before_anything_is_spent(project):
    run = project.train("strict", architecture="strict", source=SCHEMA, schema_from="architecture")

    assert (run.code, run.error["kind"]) == (4, "ValidationRefusedError")
    assert "miles (train split)" in run.error["message"]
    assert "month (train split)" in run.error["message"]
    assert "fare" not in run.error["message"]
    assert not any("Transform" in text for text in run.notes)
    assert not project.output("strict").exists()


def test_schema_can_be_inferred_and_the_tuner_comes_before_the_trainer(project):
    run = project.train("tuned", schema_from="infer", trials=2, epochs=1)

    assert run.error == {}
    names = [text.split()[1] for text in run.notes if " of " in text]
    assert names.index("SchemaGen") < names.index("ExampleValidator")
    assert names.index("Tuner") == names.index("Trainer") - 1
    native = project.output("tuned") / "native/tfx"
    assert 'name: "company"' in (native / tfx.SCHEMA_FILE).read_text()
    assert json.loads((native / "hyperparameters.json").read_text())


def test_validation_rows_outside_the_schema_that_train_rows_gave_are_refused(project):
    path = project.root / f"out/{MODEL}/prepared/validation.parquet"
    content = path.read_bytes()
    table = pq.read_table(path)
    company = pa.array(["Never seen before"] * len(table))
    pq.write_table(table.set_column(table.schema.get_field_index("company"), "company", company), path)
    try:
        run = project.train("strange", schema_from="infer")
    finally:
        path.write_bytes(content)

    assert (run.code, run.error["kind"]) == (4, "ValidationRefusedError")
    assert "company (validation split)" in run.error["message"]
    assert not any("Transform" in text for text in run.notes)
    assert not project.output("strange").exists()


def test_module_as_tfx_guides_write_it_is_an_architecture_like_any_other(project):
    source = (Path(__file__).parent / "taxi_module.py").read_text()

    run = project.train("own", architecture="own", source=source, epochs=40)

    assert run.error == {}
    result = record.read(TrainingResult, project.output("own") / "result.json")
    assert result.parity <= 1e-5
    analysis = record.read(tfx.ModelAnalysis, project.output("own") / "native/tfx" / tfx.ANALYSIS_FILE)
    assert analysis.product_digest == result.product_digest
    assert analysis.slices[0].metrics["auc"] > 0.9


FAILING = """
import tensorflow as tf
PARAMETERS = ()

def preprocessing_fn(inputs):
    fare = tf.reshape(inputs["fare"], [-1])
    return {"fare": fare / inputs["nothing"]}
"""


def test_preprocessing_that_fails_is_named_by_its_line(project):
    run = project.train("failing", architecture="failing", source=FAILING)

    assert (run.code, run.error["kind"]) == (1, "TrainingError")
    assert "component Transform failed in components/models/tfx/failing.py, line 7: KeyError" in run.error["message"]


def test_missing_schema_is_bad_input(project):
    run = project.train("without", schema_from="architecture")

    assert (run.code, run.error["kind"]) == (2, "ConfigError")
    assert "components/models/tfx/mlp.py has no SCHEMA" in run.error["message"]


def test_killed_worker_is_named_by_its_component(project):
    process = project.start("killed")
    deadline = time.monotonic() + 300
    while not any("StatisticsGen" in text for text in project.notes("killed")) and time.monotonic() < deadline:
        time.sleep(0.1)
    (worker,) = psutil.Process(process.pid).children()
    worker.send_signal(signal.SIGKILL)
    run = project.result("killed", process.wait(240))

    assert (run.code, run.error["kind"]) == (1, "StageFailedError")
    assert "in component StatisticsGen; the whole log is" in run.error["message"]
    assert "SIGKILL" in run.error["message"]
    assert "the machine may be out of memory" in run.error["message"]
    assert not project.output("killed").exists()
