"""A linear model, logistic or ridge regression: the baseline that a network has to earn its keep against."""

from __future__ import annotations

from typing import Any

from sklearn.linear_model import LogisticRegression, Ridge

from components.types.dataset import Split
from components.types.training import TrainingTask

PARAMETERS = {"epochs": 1000, "weight_decay": None}
"""``epochs``: iterations of the solver, each one pass over the rows. ``weight_decay``: the L2 penalty w in
mean(loss) + w / 2 · |weights|²; one over the number of rows (scikit-learn's own default) unless it is set."""


def build(task: TrainingTask) -> Any:
    """Return the untrained estimator."""
    rows, decay = task.spec.rows[Split.TRAIN], task.parameters["weight_decay"]
    total = 1.0 if decay is None else float(str(decay)) * rows
    epochs = int(str(task.parameters["epochs"]))
    if task.spec.classes:
        return LogisticRegression(C=1 / total if total else float("inf"), max_iter=epochs)
    return Ridge(alpha=total, solver="lsqr", tol=1e-8, max_iter=epochs)
