"""What a network's output on the validation split is worth, the same for every framework. Numpy only."""

from __future__ import annotations

from typing import Any

import numpy as np

from components.training.core.prepared_data import PreparedSplit, row_weights
from components.types.training import TrainingTask

Array = np.ndarray[Any, Any]


def validation_scores(task: TrainingTask, output: Array, split: PreparedSplit) -> dict[str, float]:
    """Return ``val_loss`` and ``val_accuracy``, or ``val_loss`` and ``val_rmse`` in the target's units.

    Args:
        task: Its class weights count in the loss, as they do in training.
        output: The logits of shape (n_rows, n_classes), or the standardised values of shape (n_rows, 1).
        split: The validation split.
    """
    exact = output.astype(np.float64)
    if not task.spec.classes:
        mean_square = float(np.mean((exact[:, 0] - split.target) ** 2))
        return {"val_loss": mean_square, "val_rmse": mean_square**0.5 * task.spec.target_scale}
    with np.errstate(invalid="ignore", over="ignore"):  # a loss that is not finite is the journal's to refuse
        shifted = exact - exact.max(axis=1, keepdims=True)
        losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(split.rows), split.target]
    weights = row_weights(task, split.target)
    loss = np.mean(losses if weights is None else losses * weights)
    return {"val_loss": float(loss), "val_accuracy": float(np.mean(exact.argmax(axis=1) == split.target))}
