"""Fit a Keras network on transformed rows, as every trainer does it. Knows no TFX component and no product.

The step is the model's own (`train_step`); one call of a compiled function goes through a whole block of batches, and
the order of the rows and all that is random depend on the seed, the epoch and the checkpoint alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.errors import ConfigError
from components.training.core.architecture import architecture_path, build
from components.training.core.blocks import Array, feature_blocks, training_blocks
from components.training.core.journal import EpochJournal
from components.training.core.prepared_data import PreparedSplit
from components.training.core.scores import validation_scores
from components.types.training import TrainingTask

_STATE_FILE = "state.npz"

LearnBlock = Callable[[tuple[Array, ...]], None]


def make_network(task: TrainingTask) -> Any:
    """Return the architecture's model, checked and compiled, with the variables of its optimiser.

    Raises:
        ConfigError: it is not a model that can be trained and served.
    """
    keras.utils.clear_session()  # names of layers count from 0 again, whatever was built before
    keras.utils.set_random_seed(task.seed)
    tf.config.experimental.enable_op_determinism()
    model, where = build(task), architecture_path(task.kind, task.architecture)
    if not isinstance(model, keras.Model):
        raise ConfigError(f"{where}: build(task) returned {type(model).__name__}, expected a keras.Model")
    if getattr(model, "compiled", False):
        raise ConfigError(f"{where}: build(task) returned a compiled model; leave out `compile`, the trainer calls it")
    shape = tuple(model(np.zeros((1, task.spec.n_features), np.float32)).shape)
    if shape != (1, task.spec.n_outputs):
        raise ConfigError(
            f"{where}: the network turns one row into shape {shape}, expected (1, {task.spec.n_outputs}): "
            + ("one number (a logit, before any softmax) per class" if task.spec.classes else "one number")
        )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        optimizer=keras.optimizers.Adam(
            task.parameters["learning_rate"], weight_decay=task.parameters["weight_decay"] or None, epsilon=1e-8
        ),
        loss=loss if task.spec.classes else keras.losses.MeanSquaredError(),
        jit_compile=False,
    )
    model.optimizer.build(model.trainable_variables)
    return model


def fit(model: Any, task: TrainingTask, train: PreparedSplit, validation: PreparedSplit) -> EpochJournal:
    """Train until the epochs or the patience are at their end, and leave the model with its best weights.

    Raises:
        TrainingError: a loss is not a finite number.
        StageCancelledError: the process was asked to stop; the state is stored.
    """
    learn_block = _block_learner(model, _batch_rows(task))
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


def least_loss(model: Any, task: TrainingTask, train: PreparedSplit, validation: PreparedSplit) -> float:
    """Train as `fit` does, without a journal, and return the least validation loss; infinite where it is no number."""
    learn_block = _block_learner(model, _batch_rows(task))
    patience = task.parameters["patience"]
    best, best_epoch = np.inf, 0
    for epoch in range(1, int(str(task.parameters["epochs"])) + 1):
        loss = run_epoch(model, task, epoch, train, validation, learn_block)["val_loss"]
        if loss < best:
            best, best_epoch = loss, epoch
        if not np.isfinite(loss) or (patience is not None and epoch - best_epoch >= int(str(patience))):
            break
    return float(best)


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
    for block in training_blocks(task, train, epoch, _batch_rows(task)):
        learn_block(block)
    scores = {name: float(value) for name, value in model.get_metrics_result().items()}
    return scores | validation_scores(task, predict(model, validation), validation)


def predict(model: Any, split: PreparedSplit) -> Array:
    """Return the model's output, float32 of shape (n_rows, n_outputs)."""
    outputs = [np.asarray(model.predict_on_batch(features)) for features in feature_blocks(split)]
    return np.concatenate(outputs).astype(np.float32, copy=False)


def _batch_rows(task: TrainingTask) -> int:
    return int(str(task.parameters["batch_size"]))


def _block_learner(model: Any, batch_rows: int) -> LearnBlock:
    """Return a function that goes through all batches of a block in one call."""

    def learn(block: tuple[Any, ...]) -> None:
        rows = tf.shape(block[0])[0]
        for start in tf.range(0, rows, batch_rows):
            stop = tf.minimum(start + batch_rows, rows)
            model.train_step(tuple([part[start:stop] for part in block]))

    compiled = tf.function(learn, reduce_retracing=True)

    def learn_block(block: tuple[Array, ...]) -> None:
        compiled(tuple(tf.convert_to_tensor(part) for part in block))

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
