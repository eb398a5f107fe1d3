"""The champion on the candidate's rows: paired, the right way round, refused with a reason where it does not fit."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from components.errors import BadInputError, DigestMismatchError
from components.evaluation.gates.evidence import ChampionComparison, UnscorableChampion
from components.evaluation.rescore import RescoreRequest, RescoreResult, compare
from components.stage.files import tree_digest, write_json
from components.types import record
from components.types.dataset import ColumnType, Task
from components.types.evaluation import Direction
from components.types.product import InputSpec, ProductRef

REPOSITORY = Path(__file__).parents[3]
WEAK = {Task.BINARY: [[0.2, -0.2], [-0.6, 0.6]], Task.REGRESSION: [[1.0], [6.0]]}


def product(folder):
    return ProductRef(folder / "product", tree_digest(folder / "product"))


def request(project, candidate, champion, metric):
    return RescoreRequest(product(candidate), product(champion), project.prepared, metric, 200, 0, 0.9)


@pytest.mark.parametrize(
    ("task", "metric"), [(Task.BINARY, "auc"), (Task.BINARY, "log_loss"), (Task.REGRESSION, "rmse")]
)
def test_the_better_model_is_better_whichever_way_the_metric_goes(task, metric, small_project):
    project = small_project(task)
    good, weak = project.add_training("good"), project.add_training("weak", WEAK[task])
    found = compare(request(project, good, weak, metric))
    assert isinstance(found, ChampionComparison)
    assert found.improvement > 0
    assert 0 < found.low <= found.improvement <= found.high
    turned = compare(request(project, weak, good, metric))
    assert turned.improvement == pytest.approx(-found.improvement)
    assert turned.high < 0


def test_an_error_is_compared_as_lower_is_better(small_project):
    project = small_project(Task.REGRESSION)
    found = compare(request(project, project.add_training("a"), project.add_training("b", [[1.0], [6.0]]), "rmse"))
    assert found.direction is Direction.LOWER
    assert found.candidate < found.champion
    assert found.improvement == pytest.approx(found.champion - found.candidate)


def test_a_champion_that_wants_a_column_that_is_gone_is_refused_with_the_reason(small_project):
    project = small_project()
    inputs = (*project.spec.inputs, InputSpec("age", ColumnType.FLOAT64, (), nullable=False, columns=("age",)))
    old = project.add_training("old", inputs=inputs)
    found = compare(request(project, project.add_training("new"), old, "auc"))
    assert isinstance(found, UnscorableChampion)
    assert found.champion_digest == tree_digest(old / "product")
    assert "no column `age`" in found.reason


def test_a_champion_of_other_classes_is_refused_with_the_reason(small_project):
    project = small_project(Task.MULTICLASS)
    old = project.add_training("old", classes=(0, 1, 7))
    found = compare(request(project, project.add_training("new"), old, "accuracy"))
    assert isinstance(found, UnscorableChampion)
    assert "classes" in found.reason


def test_classes_in_another_order_are_the_same_classes(small_project):
    project = small_project(Task.MULTICLASS)
    turned = [row[::-1] for row in [[-2.0, 0.0, 2.0], [-1.2, 0.0, 1.2]]]
    old = project.add_training("old", turned, classes=(2, 1, 0))
    found = compare(request(project, project.add_training("new"), old, "log_loss"))
    assert found.improvement == pytest.approx(0, abs=1e-9)
    assert found.champion_digest != found.candidate_digest


def test_a_champion_whose_bytes_changed_is_a_fault_and_no_reason_to_pass(small_project):
    project = small_project()
    asked = request(project, project.add_training("new"), project.add_training("old", WEAK[Task.BINARY]), "auc")
    graph = asked.champion.directory / "model.onnx"
    graph.write_bytes(graph.read_bytes() + b"\x00")
    with pytest.raises(DigestMismatchError):
        compare(asked)


def test_a_metric_without_a_direction_cannot_be_compared(small_project):
    project = small_project()
    asked = request(project, project.add_training("new"), project.add_training("old", WEAK[Task.BINARY]), "auc")
    with pytest.raises(BadInputError, match="no direction"):
        compare(replace(asked, metric="lift"))


def test_it_runs_as_a_process_behind_files(small_project, tmp_path):
    project = small_project()
    asked = request(project, project.add_training("new"), project.add_training("old", WEAK[Task.BINARY]), "auc")
    write_json(tmp_path / "request.json", asked)
    subprocess.run(
        [sys.executable, "-m", "components.evaluation.rescore", tmp_path / "request.json", tmp_path / "result.json"],
        env={"PYTHONPATH": str(REPOSITORY)},
        check=True,
        capture_output=True,
    )
    assert record.read(RescoreResult, tmp_path / "result.json").outcome == compare(asked)
