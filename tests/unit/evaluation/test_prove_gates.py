"""The proof itself: every break is refused, and without its guard every break comes through."""

from dataclasses import replace

import pytest

from components.errors import BadInputError
from components.evaluation.gates.findings import Finding
from components.evaluation.proof.outcome import CONTROL
from components.stage.files import tree_digest, write_json
from components.types import record
from components.types.dataset import Task
from components.types.evaluation import Direction, MetricValue
from components.types.tfx import ANALYSIS_FILE, TFX_DIR, AnalysisSlice, ModelAnalysis, ThresholdResult
from components.types.training import RESULT_FILE, TrainingResult
from components.validation.verdict import CheckOutcome
from pipelines.prove_gates import prove_gates

BREAKS = {
    "worse model": "absolute",
    "leaked label": "validation",
    "shifted data": "absolute",
    "missing metric": "absolute",
    "reversed direction": "absolute",
    "champion against itself": "champion",
    "evidence of another artifact": "evidence",
    "NaN metric": "absolute",
    "empty slice": "slices",
    "swapped artifact": "digest",
}
GATES = {
    Task.BINARY: "{absolute: {auc: 0.9}}",
    Task.MULTICLASS: "{absolute: {accuracy: 0.5}}",
    Task.REGRESSION: "{absolute: {rmse: 6.0}}",
}


@pytest.fixture
def finished_run(evaluated):
    def make(task=Task.BINARY, gates=None):
        project = evaluated(task)
        project.configure("{bootstrap: 100}", gates or GATES[task])
        project.write_data()
        return project

    return make


def outcomes(project):
    return {each.name: each for each in prove_gates("small", project.root)}


@pytest.mark.parametrize("task", list(Task))
def test_ten_broken_copies_are_refused_by_the_gate_that_is_there_for_it_and_the_whole_one_passes(task, finished_run):
    project = finished_run(task)
    before = tree_digest(project.root)
    proofs = outcomes(project)
    assert {name: each.gate for name, each in proofs.items() if name != CONTROL} == BREAKS
    assert all(each.as_expected for each in proofs.values()), [p for p in proofs.values() if not p.as_expected]
    assert not proofs[CONTROL].refused
    assert all(each.reason and "/tmp" not in each.reason for each in proofs.values())
    assert tree_digest(project.root) == before


ANALYSIS_BREAKS = {"analysis of another product": "analysis", "missed threshold": "analysis"}


def analyse(project, training="small-net"):
    """Leave an analysis, as a TFX training does."""
    folder = project.out / "trainings" / training
    result = record.read(TrainingResult, folder / RESULT_FILE)
    found = ModelAnalysis(
        result.product_digest,
        result.dataset_digest,
        ("auc",),
        (AnalysisSlice("", "", 200, {"auc": 0.95}),),
        (ThresholdResult("auc", "", "", "at least", 0.8, 0.95, True),),
        True,
    )
    write_json(folder / TFX_DIR / ANALYSIS_FILE, found)
    write_json(folder / RESULT_FILE, replace(result, native_files=(f"{TFX_DIR}/{ANALYSIS_FILE}",)))


def test_an_analysis_is_broken_as_well_where_the_training_makes_one(finished_run):
    project = finished_run()
    analyse(project)
    proofs = outcomes(project)
    assert {name: each.gate for name, each in proofs.items() if name != CONTROL} == BREAKS | ANALYSIS_BREAKS
    assert all(each.as_expected for each in proofs.values()), [p for p in proofs.values() if not p.as_expected]


def test_an_analysis_that_should_be_there_and_is_not_is_no_control(finished_run):
    project = finished_run()
    analyse(project)
    (project.out / "trainings" / "small-net" / TFX_DIR / ANALYSIS_FILE).unlink()
    proof = outcomes(project)[CONTROL]
    assert not proof.as_expected
    assert proof.gate == "analysis"


@pytest.mark.parametrize("name", list(ANALYSIS_BREAKS))
def test_without_the_gate_a_broken_analysis_comes_through(name, finished_run, monkeypatch):
    project = finished_run()
    analyse(project)
    monkeypatch.setattr(f"{GATES_FOLDER}.judge.analysis", let_pass)
    assert not outcomes(project)[name].refused


def test_without_a_run_there_is_nothing_to_prove(finished_run):
    project = finished_run()
    for name in ("small-net", "small-sklearn"):
        (project.out / "evaluations" / name).rename(project.root / name)
    with pytest.raises(BadInputError, match="towpath run small"):
        prove_gates("small", project.root)


def test_a_gate_that_is_off_proves_nothing(finished_run):
    proof = outcomes(finished_run(gates="{absolute: {auc: 0.9}, champion: null}"))["champion against itself"]
    assert not proof.refused
    assert not proof.as_expected
    assert "is off in the configuration" in proof.reason


def test_a_candidate_that_does_not_pass_is_said_to_be_no_control(finished_run):
    proof = outcomes(finished_run(gates="{absolute: {auc: 0.9999}}"))[CONTROL]
    assert proof.refused
    assert not proof.as_expected


def let_pass(*_arguments, **_named):
    return [Finding(True, "looked away")]


def read_unchecked(product):
    return {path.name: path.read_bytes() for path in product.directory.iterdir()}


def believe_the_record(_task, metrics, metric, _where):
    found = metrics.get(metric, MetricValue(0.0, 0.0, 0.0, Direction.HIGHER))
    return found.value, found.direction


def see_no_leak(_table, _meta):
    return CheckOutcome("no_leak", success=True, columns=(), reason="looked away")


GATES_FOLDER = "components.evaluation.gates"
GUARDS = {
    "worse model": {f"{GATES_FOLDER}.judge.absolute": let_pass, f"{GATES_FOLDER}.judge.baseline": let_pass},
    "leaked label": {"components.validation.checks.check_leak": see_no_leak},
    "shifted data": {f"{GATES_FOLDER}.judge.absolute": let_pass},
    "missing metric": {f"{GATES_FOLDER}.judge.absolute": let_pass},
    "reversed direction": {f"{GATES_FOLDER}.quality.read_metric": believe_the_record},
    "champion against itself": {f"{GATES_FOLDER}.versus_champion._require_sound": let_pass},
    "evidence of another artifact": {f"{GATES_FOLDER}.measurements.require_digest_of": let_pass},
    "NaN metric": {f"{GATES_FOLDER}.findings.require_finite": lambda value, _what: value},
    "empty slice": {f"{GATES_FOLDER}.quality._empty": lambda _found: []},
    "swapped artifact": {"components.runtime.onnx_runtime._read_product": read_unchecked},
}


@pytest.mark.parametrize("name", list(BREAKS))
def test_without_its_guard_a_break_comes_through(name, finished_run, monkeypatch):
    project = finished_run()
    for guard, stand_in in GUARDS[name].items():
        monkeypatch.setattr(guard, stand_in)
    proof = outcomes(project)[name]
    assert not proof.refused
    assert not proof.as_expected
