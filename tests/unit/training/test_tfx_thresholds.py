"""Thresholds are read as they are written; what cannot be meant is refused, and one on all rows is always there."""

import pytest

from components.errors import ConfigError
from components.training.tfx.thresholds import Threshold, read_slices, read_thresholds
from components.types.dataset import ColumnType, Task
from components.types.product import InputSpec
from components.types.training import PreparedSpec

CLASSES = {Task.BINARY: ("no", "yes"), Task.MULTICLASS: (3, 5, 7, 9), Task.REGRESSION: ()}
INPUTS = (
    InputSpec("fare", ColumnType.FLOAT64, (), True, ("fare",)),
    InputSpec("city", ColumnType.STRING, (), True, ("city",)),
    InputSpec("zone id", ColumnType.INT64, (), False, ("zone id",)),
)


def spec(task=Task.BINARY):
    classes = CLASSES[task]
    return PreparedSpec(
        model="rides",
        task=task,
        inputs=INPUTS,
        classes=classes,
        class_weights=tuple(1.0 for _ in classes),
        target_mean=10.0,
        target_scale=1.0 if classes else 3.0,
        feature_names=("fare",),
        image_shape=None,
        rows={"train": 10, "validation": 5},
        dataset_digest="d" * 64,
        id_column="id",
        label_column="label",
    )


def test_a_line_is_a_metric_a_bound_and_perhaps_a_column():
    found = read_thresholds(("auc >= 0.8", "log_loss<=0.5", "accuracy >= 0.7 by zone id"), spec(), "here", lambda: 0.6)
    assert found == (
        Threshold("auc", 0.8),
        Threshold("log_loss", 0.5),
        Threshold("accuracy", 0.7, "zone id"),
    )


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (Task.BINARY, Threshold("auc", 0.51)),
        (Task.MULTICLASS, Threshold("accuracy", 0.608)),
        (Task.REGRESSION, Threshold("mse", 8.82)),
    ],
)
def test_without_one_on_all_rows_the_model_must_beat_a_constant(task, expected):
    (found,) = read_thresholds((), spec(task), "here", lambda: 0.6)

    assert (found.metric, found.column) == (expected.metric, "")
    assert found.bound == pytest.approx(expected.bound)


def test_one_on_a_slice_alone_does_not_speak_for_all_rows():
    found = read_thresholds(("accuracy >= 0.7 by city",), spec(), "here", lambda: 0.6)
    assert [each.column for each in found] == ["", "city"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("auc", "is no threshold"),
        ("auc > 0.8", "is no threshold"),
        ("auc >= high", "is no number"),
        ("auc >= nan", "is no number"),
        ("auc <= 0.8", "the wrong way round; higher is better"),
        ("log_loss >= 0.5", "the wrong way round; lower is better"),
        ("mse <= 5", "`mse` is no metric of a binary model"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_key(line, reason):
    with pytest.raises(ConfigError, match=reason) as refused:
        read_thresholds((line,), spec(), "trainings.rides-tfx.thresholds", lambda: 0.6)
    assert str(refused.value).startswith("trainings.rides-tfx.thresholds")


def test_a_column_with_a_threshold_is_a_slice_and_counts_once():
    thresholds = read_thresholds(("accuracy >= 0.7 by city",), spec(), "here", lambda: 0.6)
    assert read_slices(("zone id", "city"), thresholds, spec()) == ("zone id", "city")
    assert read_slices((), thresholds, spec()) == ("city",)


@pytest.mark.parametrize(("column", "reason"), [("town", "is no input"), ("fare", "would each be a slice")])
def test_a_column_that_cannot_cut_is_refused_and_those_that_can_are_named(column, reason):
    with pytest.raises(ConfigError, match=reason) as refused:
        read_slices((column,), (), spec())
    assert "city, zone id" in str(refused.value)
