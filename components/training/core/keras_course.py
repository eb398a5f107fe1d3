"""The course of a training of any Keras model: epochs, predictions, checkpoints. Imports no framework.

Kind `keras` trains by it, and kind `tfx` does in an environment of its own. The step is the model's (`train_step`);
the order of the rows and all that is random depend on the seed, the epoch and the checkpoint alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from components.training.core.blocks import Array, feature_blocks, training_blocks
from components.training.core.journal import EpochJournal
from components.training.core.prepared_data import PreparedSplit
from components.training.core.scores import validation_scores
from components.types.training import TrainingTask

LearnBlock = Callable[[tuple[Array, ...]], None]

_STATE_FILE = "state.npz"


def fit(
    model: Any, task: TrainingTask, train: PreparedSplit, validation: PreparedSplit, learn_block: LearnBlock
) -> EpochJournal:
    """Train until the epochs or the patience are at their end, and leave the model with its best weights.

    Raises:
        TrainingError: a loss is not a finite number.
        StageCancelledError: the process was asked to stop; the state is stored.
    """
    with EpochJournal(task) as journal:
        best = model.get_weights()
        if journal.resumed_state:
            best = _load_state(model, journal.resumed_state)
        for epoch in journal.remaining_epochs():
            scores = run_epoch(model, task, epoch, train, validation, learn_block)
            if journal.record(epoch, scores):
                best = model.get_weights()
            journal.checkpoint(epoch, partial(_save_state, model, best))
    model.set_weights(best)
    return journal


def run_epoch(
    model: Any,
    task: TrainingTask,
    epoch: int,
    train: PreparedSplit,
    validation: PreparedSplit,
    learn_block: LearnBlock,
) -> dict[str, float]:
    """Go once through the train split, and return the metrics of both splits."""
    model.reset_metrics()
    for block in training_blocks(task, train, epoch, batch_rows(task)):
        learn_block(block)
    scores = {name: float(value) for name, value in model.get_metrics_result().items()}
    return scores | validation_scores(task, predict(model, validation), validation)


def predict(model: Any, split: PreparedSplit) -> Array:
    """Return the model's output, float32 of shape (n_rows, n_outputs)."""
    outputs = [np.asarray(model.predict_on_batch(features)) for features in feature_blocks(split)]
    return np.concatenate(outputs).astype(np.float32, copy=False)


def batch_rows(task: TrainingTask) -> int:
    """Return how many rows make one step of the optimiser."""
    return int(str(task.parameters["batch_size"]))


def learn_on_tensorflow(tensorflow: Any, model: Any, rows_per_step: int) -> LearnBlock:
    """Return a function that goes through all batches of a block in one call of the module `tensorflow`."""

    def learn(block: tuple[Any, ...]) -> None:
        rows = tensorflow.shape(block[0])[0]
        for start in tensorflow.range(0, rows, rows_per_step):
            stop = tensorflow.minimum(start + rows_per_step, rows)
            model.train_step(tuple([part[start:stop] for part in block]))

    compiled = tensorflow.function(learn, reduce_retracing=True)

    def learn_block(block: tuple[Array, ...]) -> None:
        compiled(tuple(tensorflow.convert_to_tensor(part) for part in block))

    return learn_block


def _save_state(model: Any, best: list[Array], folder: Path) -> None:
    state = {f"variable_{index}": np.asarray(value) for index, value in enumerate(_variables(model))}
    weights = {f"best_{index}": value for index, value in enumerate(best)}
    np.savez(folder / _STATE_FILE, allow_pickle=False, **state, **weights)


def _load_state(model: Any, folder: Path) -> list[Array]:
    """Put a checkpoint's weights, optimiser and random state into the model, and return its best weights."""
    with np.load(folder / _STATE_FILE, allow_pickle=False) as state:
        for index, variable in enumerate(_variables(model)):
            variable.assign(state[f"variable_{index}"])
        return [state[f"best_{index}"] for index in range(len(model.weights))]


def _variables(model: Any) -> list[Any]:
    return [*model.variables, *model.optimizer.variables]
