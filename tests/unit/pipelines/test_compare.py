"""Figures are shown where there are any: of trainings in this folder, else of the registered versions."""

from __future__ import annotations

from components.types.dataset import Task
from pipelines.compare import ComparedTraining, ComparedVersion, shown_metrics

HERE = ComparedTraining("boxes-sklearn", {"f1": "0.8", "accuracy": "0.9"}, 1, "a" * 64)
ELSEWHERE = ComparedTraining("boxes-sklearn", {}, None, None)
FIGURES = {"brier": "0.1", "recall": "0.7", "accuracy": "0.9", "auc": "0.8", "f1": "0.8"}
VERSION = ComparedVersion(1, "boxes-sklearn", "sklearn", FIGURES, "d" * 64, "a" * 64, "stable")


def test_the_trainings_say_which_metrics_are_shown() -> None:
    assert shown_metrics(Task.BINARY, "accuracy", (HERE,), (VERSION,)) == ("accuracy", "f1")


def test_where_only_schedules_train_the_versions_say_it() -> None:
    assert shown_metrics(Task.BINARY, "f1", (ELSEWHERE,), (VERSION,)) == ("f1", "auc", "accuracy", "recall")
    assert shown_metrics(Task.BINARY, "f1", (ELSEWHERE,), ()) == ()
