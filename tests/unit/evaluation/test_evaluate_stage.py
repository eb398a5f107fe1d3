"""The evaluate stage over real graphs: what it writes, that it writes it twice alike, and what it refuses."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.errors import ConfigError, DigestMismatchError, SchemaError
from components.evaluation.record.config import EvaluationSection
from components.evaluation.record.predict import predict_split
from components.evaluation.record.stage import evaluate
from components.stage.files import tree_digest
from components.types import record
from components.types.dataset import Split, Task
from components.types.evaluation import METRIC_DIRECTIONS, Evaluation
from components.types.product import ProductRef
from tests.unit.evaluation.conftest import small_project_in

QUICK = EvaluationSection(bootstrap=100)
SLICED = EvaluationSection(bootstrap=100, slices=("colour", "x1"), slice_bins=3)
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """Return a function that gives a project of a task and its evaluation, made once, which tests only look at."""

    @cache
    def make(task):
        project = small_project_in(tmp_path_factory.mktemp("stage"), task)
        target = project.out / "evaluations" / "hand"
        evaluate(project.add_training("hand"), project.prepared, SLICED, target)
        return project, target

    return make


@pytest.mark.parametrize("task", list(Task))
def test_every_metric_of_the_task_is_recorded_with_interval_and_direction(task, evaluated):
    _, target = evaluated(task)
    written = record.read(Evaluation, target / "evaluation.json")
    for split in (written.validation, written.test):
        assert split.rows == 150
        assert {name: each.direction for name, each in split.metrics.items()} == METRIC_DIRECTIONS[task]
        for name, each in split.metrics.items():
            assert each.low <= each.high
            if name != "calibration_error":  # its resamples sit too high, as its source says
                assert each.low <= each.value <= each.high, name


@pytest.mark.parametrize(
    ("task", "plots"),
    [
        (Task.BINARY, {"confusion", "roc", "precision_recall", "calibration", "slices"}),
        (Task.MULTICLASS, {"confusion", "roc", "precision_recall", "calibration", "slices"}),
        (Task.REGRESSION, {"predicted_vs_true", "residuals", "slices"}),
    ],
)
def test_the_plots_of_the_task_are_drawn(task, plots, evaluated):
    _, target = evaluated(task)
    found = {path.stem: path.read_bytes() for path in (target / "plots").iterdir()}
    assert set(found) == plots
    assert all(content.startswith(b"\x89PNG") and b"tEXt" not in content for content in found.values())


@pytest.mark.parametrize("task", list(Task))
def test_two_evaluations_of_one_product_are_the_same_bytes(task, evaluated, tmp_path):
    project, first = evaluated(task)
    evaluate(project.out / "trainings" / "hand", project.prepared, SLICED, tmp_path / "second")
    assert tree_digest(first) == tree_digest(tmp_path / "second")


def test_predictions_of_the_test_split_are_kept_by_id(evaluated):
    project, target = evaluated(Task.BINARY)
    table = pq.read_table(target / "predictions.parquet")
    rows = pq.read_table(project.prepared / "test.parquet")
    assert table.column_names == ["id", "label", "prediction", "probabilities"]
    assert table.column("id").to_pylist() == rows.column("id").to_pylist()
    probabilities = np.array(table.column("probabilities").to_pylist())
    said = [("no", "yes")[index] for index in probabilities.argmax(axis=1)]
    assert table.column("prediction").to_pylist() == said


def test_a_regression_has_predictions_and_no_probabilities(evaluated):
    _, target = evaluated(Task.REGRESSION)
    assert pq.read_table(target / "predictions.parquet").column_names == ["id", "label", "prediction"]


def test_slices_cut_text_by_value_and_numbers_by_quantile(evaluated):
    found = record.read(Evaluation, evaluated(Task.BINARY)[1] / "evaluation.json").test.slices
    assert sorted(each.value for each in found if each.column == "colour") == ["blue", "green", "red"]
    assert [each.rows for each in found if each.column == "x1"] == [50, 50, 50]
    assert sum(each.rows for each in found if each.column == "colour") == 150


def test_a_product_whose_bytes_changed_is_not_evaluated(small_project):
    project = small_project()
    trained = project.add_training("hand")
    graph = trained / "product" / "model.onnx"
    graph.write_bytes(graph.read_bytes() + b"\x00")
    with pytest.raises(DigestMismatchError):
        evaluate(trained, project.prepared, QUICK, project.out / "e")
    assert not (project.out / "e").exists()


def test_a_product_trained_on_other_data_is_not_evaluated(small_project):
    project = small_project()
    trained = project.add_training("hand")
    content = json.loads((trained / "result.json").read_text())
    (trained / "result.json").write_text(json.dumps({**content, "dataset_digest": "0" * 64}))
    with pytest.raises(DigestMismatchError, match="trained on data 000000000000"):
        evaluate(trained, project.prepared, QUICK, project.out / "e")


def test_a_label_that_is_no_class_of_the_product_is_refused(small_project):
    project = small_project(Task.MULTICLASS, spec_changes={"classes": (0, 1, 5)})
    trained = project.add_training("hand", classes=(0, 1, 5))
    with pytest.raises(SchemaError, match="label `2` is no class"):
        evaluate(trained, project.prepared, QUICK, project.out / "e")


def test_a_binary_product_with_the_other_positive_class_is_refused(small_project):
    project = small_project(Task.BINARY)
    trained = project.add_training("hand", classes=("yes", "no"))
    with pytest.raises(SchemaError, match="knows the classes"):
        evaluate(trained, project.prepared, QUICK, project.out / "e")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (EvaluationSection(primary="auk"), "did you mean `auc`"),
        (EvaluationSection(slices=("color",)), "did you mean `colour`"),
    ],
)
def test_a_name_that_does_not_exist_is_answered_with_the_nearest(section, message, small_project):
    project = small_project()
    with pytest.raises(ConfigError, match=message):
        evaluate(project.add_training("hand"), project.prepared, section, project.out / "e")


def test_batches_do_not_change_a_prediction(small_project, monkeypatch):
    project = small_project()
    trained = project.add_training("hand")
    product = ProductRef(trained / "product", tree_digest(trained / "product"))
    whole = predict_split(product, project.prepared, Split.TEST).scored
    monkeypatch.setattr("components.evaluation.record.predict.BATCH_ROWS", 7)
    parts = predict_split(product, project.prepared, Split.TEST).scored
    np.testing.assert_array_equal(whole.predicted, parts.predicted)
    np.testing.assert_allclose(whole.probabilities, parts.probabilities, rtol=1e-6)


def test_the_stage_is_a_process_that_imports_no_scikit_learn_and_no_pyplot(small_project):
    project = small_project()
    project.add_training("hand")
    project.configure("{bootstrap: 100}")
    code = (
        "import sys; from components.evaluation.record.stage import run; run('small', 'hand'); "
        "print([name for name in ('sklearn', 'scipy', 'matplotlib.pyplot', 'onnx') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.root,
        env={"PYTHONPATH": str(REPOSITORY), "HOME": str(Path.home())},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
    assert (project.out / "evaluations" / "hand" / "evaluation.json").is_file()


def test_the_stage_says_in_one_sentence_what_is_missing(small_project):
    project = small_project()
    project.configure()
    done = subprocess.run(
        [sys.executable, "-m", "components.evaluation", "small", "absent"],
        cwd=project.root,
        env={"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "train again" in done.stderr
    assert "Traceback" not in done.stderr
