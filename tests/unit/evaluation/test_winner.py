"""The winner is chosen on validation, the same way each time, and the baseline may win."""

import math
from dataclasses import replace

import pytest

from components.errors import GateRefusedError
from components.evaluation.gates.winner import select_winner
from components.types.dataset import Task
from components.types.evaluation import METRIC_DIRECTIONS, Evaluation, MetricValue, SplitResult


def evaluation(training, validation, test=0.9, metric="auc", task=Task.BINARY):
    direction = METRIC_DIRECTIONS[task][metric]

    def split(value):
        return SplitResult(100, {metric: MetricValue(value, value, value, direction)}, ())

    return Evaluation(
        "small", training, task, metric, training.ljust(64, "0"), "d" * 64, split(validation), split(test)
    )


def test_the_best_on_validation_wins_whatever_the_test_split_says():
    chosen = select_winner([evaluation("a", 0.91, test=0.5), evaluation("b", 0.90, test=0.99)], baseline=None)
    assert chosen.winner.training == "a"


def test_the_lowest_error_wins():
    evaluations = [evaluation(n, v, metric="rmse", task=Task.REGRESSION) for n, v in (("a", 52.0), ("b", 48.0))]
    assert select_winner(evaluations, baseline="a").winner.training == "b"


def test_the_baseline_may_win():
    assert select_winner([evaluation("base", 0.95), evaluation("net", 0.94)], baseline="base").winner.training == "base"


def test_a_tie_goes_to_the_baseline_and_else_to_the_first_name_in_any_order():
    three = [evaluation(name, 0.9) for name in ("c", "a", "b")]
    for order in (three, three[::-1]):
        assert select_winner(order, baseline="b").winner.training == "b"
        assert select_winner(order, baseline=None).winner.training == "a"
        assert [each.training for each in select_winner(order, baseline="b").standings] == ["b", "a", "c"]


def test_a_training_behind_the_baseline_by_more_than_the_margin_is_marked():
    made = [evaluation("base", 0.95), evaluation("near", 0.945), evaluation("far", 0.9)]
    standings = select_winner(made, baseline="base", margin=0.01).standings
    assert {each.training: each.behind_baseline for each in standings} == {"base": False, "near": False, "far": True}


@pytest.mark.parametrize("broken", [evaluation("net", math.nan), replace(evaluation("net", 0.99), primary="accuracy")])
def test_a_training_whose_metric_is_missing_or_no_number_cannot_win(broken):
    base = replace(evaluation("base", 0.6), primary=broken.primary)
    if broken.primary == "accuracy":
        base = evaluation("base", 0.6, metric="accuracy")
    chosen = select_winner([broken, base], baseline="base")
    assert chosen.winner.training == "base"
    assert chosen.standings[-1].training == "net"
    assert chosen.standings[-1].note


def test_nobody_wins_where_no_metric_can_be_used():
    with pytest.raises(GateRefusedError, match="no training can win"):
        select_winner([evaluation("net", math.nan)], baseline=None)


@pytest.mark.parametrize(
    ("evaluations", "message"),
    [
        ([], "no evaluation"),
        ([evaluation("a", 0.9), evaluation("a", 0.8)], "evaluated twice"),
        ([evaluation("a", 0.9), replace(evaluation("b", 0.8), dataset_digest="0" * 64)], "differ in dataset_digest"),
        ([evaluation("a", 0.9), evaluation("b", 0.8, metric="accuracy")], "differ in primary"),
        (
            [evaluation("a", 0.9), replace(evaluation("b", 0.8), validation=SplitResult(9, {}, ()))],
            "on 9 validation rows",
        ),
    ],
)
def test_evaluations_that_cannot_be_compared_are_refused(evaluations, message):
    with pytest.raises(GateRefusedError, match=message):
        select_winner(evaluations, baseline=None)
