"""What is gathered for the gates comes from the artifact itself, measured now."""

import time
from pathlib import Path

import numpy as np
import pytest

from components.errors import DigestMismatchError, SchemaError
from components.evaluation.gates.config import GatesSection
from components.evaluation.gates.evidence import NoChampion
from components.evaluation.gates.judge import judge, passed
from components.evaluation.gather import gather_evidence
from components.evaluation.latency import measure_latency, times_ms
from components.runtime.memory_runtime import MemoryRuntime
from components.stage.files import tree_digest
from components.types.dataset import ColumnType, Task
from components.types.product import InputSpec, ProductRef, Signature


@pytest.fixture
def project(evaluated):
    return evaluated(Task.BINARY, ("colour",))


def gather(project, **changes):
    asked = {"baseline": "small-sklearn", "slice_columns": ("colour",), "champion": NoChampion("empty"), **changes}
    return gather_evidence(project.out, "small-net", **asked)


def test_everything_is_of_the_product_on_disk(project):
    found = gather(project)
    digest = tree_digest(project.out / "trainings" / "small-net" / "product")
    pieces = (found, found.candidate, found.parity, found.size, found.latency)
    assert {each.product_digest for each in pieces} == {digest}
    assert passed(judge(found, GatesSection(absolute={"auc": 0.8})))


def test_a_product_that_was_swapped_is_not_judged(project):
    graph = project.out / "trainings" / "small-net" / "product" / "model.onnx"
    graph.write_bytes((project.out / "trainings" / "small-sklearn" / "product" / "model.onnx").read_bytes())
    with pytest.raises(DigestMismatchError):
        gather(project)


def test_without_an_evaluation_nothing_is_judged(project):
    (project.out / "evaluations" / "small-net" / "evaluation.json").unlink()
    with pytest.raises(DigestMismatchError, match="evaluate again"):
        gather(project)


def test_without_a_baseline_the_gate_refuses(project):
    verdicts = judge(gather(project, baseline=None), GatesSection(absolute={"auc": 0.8}))
    assert [each.gate for each in verdicts if not each.passed] == ["baseline"]


def test_latency_is_measured_on_real_rows_and_ordered(project):
    found = gather(project).latency
    assert 0 < found.row_p50_ms <= found.row_p95_ms
    assert 0 < found.batch_p50_ms <= found.batch_p95_ms
    assert found.row_p50_ms < found.batch_p95_ms
    assert found.batch_rows == 256


def test_latency_is_the_time_that_a_prediction_takes():
    signature = Signature(Task.REGRESSION, (InputSpec("x", ColumnType.FLOAT64, (), False, ("x",)),), ())
    calls = []

    def respond(batch):
        calls.append(len(batch["x"]))
        time.sleep(0.002)
        return {"prediction": batch["x"]}

    runtime = MemoryRuntime("d" * 64, signature, respond)
    runtime.load(ProductRef(Path(), "d" * 64))
    median_ms, high_ms = times_ms(runtime, [{"x": np.zeros(1)}] * 10)
    assert len(calls) == 20  # each once to warm up
    assert 2.0 <= median_ms <= high_ms


def test_latency_cannot_be_measured_without_rows(project):
    import pyarrow.parquet as pq

    path = project.prepared / "test.parquet"
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    folder = project.out / "trainings" / "small-net" / "product"
    with pytest.raises(SchemaError, match="no rows"):
        measure_latency(ProductRef(folder, tree_digest(folder)), project.prepared)
