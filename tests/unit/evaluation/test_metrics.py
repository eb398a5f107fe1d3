"""Every metric against scikit-learn, against values counted by hand, and against rows that leave it undefined."""

import numpy as np
import pytest
from sklearn import metrics as oracle

from components.evaluation.record.metrics import measured, weighted_metrics
from components.evaluation.record.scored import Scored
from components.types.dataset import Task
from components.types.evaluation import METRIC_DIRECTIONS


def binary(label, score, threshold=0.5):
    label, score = np.asarray(label, dtype=np.int64), np.asarray(score, dtype=np.float64)
    predicted = (score > threshold).astype(np.int64)
    return Scored(Task.BINARY, ("no", "yes"), label, predicted, np.stack([1 - score, score], axis=1))


def multiclass(label, probabilities):
    probabilities = np.asarray(probabilities, dtype=np.float64)
    classes = tuple(range(probabilities.shape[1]))
    return Scored(Task.MULTICLASS, classes, np.asarray(label, np.int64), probabilities.argmax(axis=1), probabilities)


def regression(label, predicted):
    label, predicted = np.asarray(label, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    return Scored(Task.REGRESSION, (), label, predicted, np.empty((len(label), 0)))


@pytest.fixture
def a_binary_split():
    rng = np.random.default_rng(3)
    label = rng.integers(0, 2, 400)
    return binary(label, np.clip(0.35 * label + rng.random(400) * 0.65, 0.001, 0.999))


@pytest.fixture
def a_binary_split_with_ties(a_binary_split):
    return binary(a_binary_split.label, np.round(a_binary_split.probabilities[:, 1], 1).clip(0.05, 0.95))


@pytest.fixture
def a_multiclass_split():
    rng = np.random.default_rng(4)
    label = rng.integers(0, 4, 500)
    probabilities = rng.random((500, 4)) + 0.8 * np.eye(4)[label]
    return multiclass(label, probabilities / probabilities.sum(axis=1, keepdims=True))


@pytest.fixture
def a_regression_split():
    rng = np.random.default_rng(5)
    label = rng.normal(150, 70, 301)
    return regression(label, label + rng.normal(3, 40, 301))


def sklearn_binary(split, weight=None):
    label, said, score = split.label, split.predicted, split.probabilities[:, 1]
    return {
        "auc": oracle.roc_auc_score(label, score, sample_weight=weight),
        "average_precision": oracle.average_precision_score(label, score, sample_weight=weight),
        "accuracy": oracle.accuracy_score(label, said, sample_weight=weight),
        "f1": oracle.f1_score(label, said, sample_weight=weight),
        "precision": oracle.precision_score(label, said, sample_weight=weight),
        "recall": oracle.recall_score(label, said, sample_weight=weight),
        "log_loss": oracle.log_loss(label, split.probabilities, sample_weight=weight),
        "brier": oracle.brier_score_loss(label, score, sample_weight=weight),
    }


def sklearn_multiclass(split, weight=None):
    return {
        "accuracy": oracle.accuracy_score(split.label, split.predicted, sample_weight=weight),
        "f1_macro": oracle.f1_score(split.label, split.predicted, average="macro", sample_weight=weight),
        "log_loss": oracle.log_loss(split.label, split.probabilities, sample_weight=weight),
    }


def sklearn_regression(split, weight=None):
    return {
        "r2": oracle.r2_score(split.label, split.predicted, sample_weight=weight),
        "rmse": oracle.root_mean_squared_error(split.label, split.predicted, sample_weight=weight),
        "mae": oracle.mean_absolute_error(split.label, split.predicted, sample_weight=weight),
    }


@pytest.mark.parametrize("fixture", ["a_binary_split", "a_binary_split_with_ties"])
def test_binary_metrics_are_those_of_scikit_learn(fixture, request):
    split = request.getfixturevalue(fixture)
    ours = measured(split)
    for name, value in sklearn_binary(split).items():
        assert ours[name] == pytest.approx(value, rel=1e-9), name


def test_multiclass_metrics_are_those_of_scikit_learn(a_multiclass_split):
    ours = measured(a_multiclass_split)
    auc = oracle.roc_auc_score(
        a_multiclass_split.label, a_multiclass_split.probabilities, multi_class="ovr", average="macro"
    )
    for name, value in {**sklearn_multiclass(a_multiclass_split), "auc_ovr": auc}.items():
        assert ours[name] == pytest.approx(value, rel=1e-9), name


def test_regression_metrics_are_those_of_scikit_learn(a_regression_split):
    ours = measured(a_regression_split)
    median = oracle.median_absolute_error(a_regression_split.label, a_regression_split.predicted)
    for name, value in {**sklearn_regression(a_regression_split), "median_absolute_error": median}.items():
        assert ours[name] == pytest.approx(value, rel=1e-9), name


@pytest.mark.parametrize(
    ("fixture", "sklearn"),
    [
        ("a_binary_split", sklearn_binary),
        ("a_binary_split_with_ties", sklearn_binary),
        ("a_multiclass_split", sklearn_multiclass),
        ("a_regression_split", sklearn_regression),
    ],
)
def test_a_row_that_was_drawn_twice_counts_twice(fixture, sklearn, request):
    split = request.getfixturevalue(fixture)
    weights = np.random.default_rng(1).multinomial(split.rows, np.full(split.rows, 1 / split.rows), size=3)
    ours = {name: metric(weights.astype(np.float64)) for name, metric in weighted_metrics(split).items()}
    for row, weight in enumerate(weights):
        repeated = split.take(np.repeat(np.arange(split.rows), weight))
        for name, value in measured(repeated).items():
            assert ours[name][row] == pytest.approx(value, rel=1e-9), name
        for name, value in sklearn(split, weight).items():
            assert ours[name][row] == pytest.approx(value, rel=1e-9), name


@pytest.mark.parametrize("fixture", ["a_binary_split", "a_multiclass_split", "a_regression_split"])
def test_exactly_the_metrics_with_a_direction_are_measured(fixture, request):
    split = request.getfixturevalue(fixture)
    assert list(measured(split)) == list(METRIC_DIRECTIONS[split.task])


def test_calibration_error_by_hand():
    # bins of 1/15: 0.01 and 0.05 share the first (one of two positive), 0.99 and 0.97 the last (both positive)
    split = binary([1, 0, 1, 1], [0.01, 0.05, 0.99, 0.97])
    expected = 0.5 * abs(0.5 - 0.03) + 0.5 * abs(1.0 - 0.98)
    assert measured(split)["calibration_error"] == pytest.approx(expected)


def test_calibration_error_of_many_classes_looks_at_the_winning_class():
    split = multiclass([0, 1], [[0.9, 0.05, 0.05], [0.9, 0.05, 0.05]])
    assert measured(split)["calibration_error"] == pytest.approx(0.4)


def test_auc_counts_a_tie_as_half():
    assert measured(binary([0, 1, 1], [0.5, 0.5, 0.7]))["auc"] == pytest.approx(0.75)


def test_metrics_of_ranking_are_left_out_where_only_one_class_appears():
    found = measured(binary([1, 1, 1], [0.2, 0.8, 0.9]))
    assert "auc" not in found
    assert found["accuracy"] == pytest.approx(2 / 3)


def test_recall_is_left_out_where_there_is_nothing_to_recall():
    found = measured(binary([0, 0], [0.2, 0.8]))
    assert "recall" not in found
    assert found["precision"] == 0.0


def test_a_model_that_never_says_yes_has_no_precision_at_all():
    assert measured(binary([1, 0], [0.2, 0.1]))["precision"] == 0.0


def test_a_nan_probability_leaves_every_metric_of_probabilities_out():
    split = binary([0, 1, 1], [0.2, 0.8, 0.9])
    broken = split.probabilities.copy()
    broken[0, 1] = np.nan
    found = measured(Scored(split.task, split.classes, split.label, split.predicted, broken))
    assert set(found) == {"accuracy", "f1", "precision", "recall"}


def test_a_certain_and_wrong_probability_costs_a_finite_log_loss():
    assert measured(binary([1, 0], [0.0, 0.3]))["log_loss"] < 20


def test_r2_is_left_out_of_a_constant_target():
    found = measured(regression([5.0, 5.0, 5.0], [5.0, 6.0, 4.0]))
    assert "r2" not in found
    assert found["mae"] == pytest.approx(2 / 3)


def test_the_median_of_an_even_number_of_errors_is_between_the_middle_two():
    assert measured(regression([0.0] * 4, [1.0, 2.0, 4.0, 9.0]))["median_absolute_error"] == 3.0


def test_values_are_recorded_without_the_last_bits_that_a_sum_may_change():
    assert measured(regression([0.0] * 3, [1.0, 1.0, 2.0]))["mae"] == 1.333333333


def test_no_rows_have_no_metrics():
    assert measured(binary([], [])) == {}
