"""Gradient-boosted trees over histograms: often the best on a table, and a second baseline for a network."""

from __future__ import annotations

from typing import Any

from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from components.types.training import TrainingTask

PARAMETERS = {"epochs": 100, "learning_rate": 0.1, "patience": 10, "weight_decay": 0.0, "options.leaves": 31}
"""``epochs``: rounds of boosting at most. ``patience``: how many rounds without a better validation loss end them."""


def build(task: TrainingTask) -> Any:
    """Return the untrained estimator."""
    parameters, patience = task.parameters, task.parameters["patience"]
    estimator = HistGradientBoostingClassifier if task.spec.classes else HistGradientBoostingRegressor
    return estimator(
        max_iter=parameters["epochs"],
        learning_rate=parameters["learning_rate"],
        l2_regularization=parameters["weight_decay"],
        max_leaf_nodes=parameters["options.leaves"],
        early_stopping=patience is not None,
        n_iter_no_change=10 if patience is None else patience,
        tol=0.0,
        random_state=task.seed,
    )
