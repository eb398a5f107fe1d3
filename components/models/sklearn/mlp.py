"""A multilayer perceptron, trained by Adam; its rows come in the same order as in the other frameworks."""

from __future__ import annotations

from typing import Any

from sklearn.neural_network import MLPClassifier, MLPRegressor

from components.types.dataset import Split
from components.types.training import TrainingTask

PARAMETERS = ("batch_size", "epochs", "hidden", "learning_rate", "patience", "weight_decay")


def build(task: TrainingTask) -> Any:
    """Return the untrained estimator."""
    parameters = task.parameters
    estimator = MLPClassifier if task.spec.classes else MLPRegressor
    return estimator(
        hidden_layer_sizes=parameters["hidden"],
        alpha=parameters["weight_decay"],
        batch_size=min(int(str(parameters["batch_size"])), task.spec.rows[Split.TRAIN]),
        learning_rate_init=parameters["learning_rate"],
        shuffle=False,  # the trainer shuffles, so that an epoch's order depends on the seed and the epoch alone
        random_state=task.seed,
    )
