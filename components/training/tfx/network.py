"""Make a Keras network, and try out how well it learns transformed rows. Knows no TFX component and no product."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.errors import ConfigError
from components.training.core.architecture import architecture_path, build
from components.training.core.keras_course import batch_rows, learn_on_tensorflow, run_epoch
from components.training.core.prepared_data import PreparedSplit
from components.types.training import TrainingTask


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


def least_loss(model: Any, task: TrainingTask, train: PreparedSplit, validation: PreparedSplit) -> float:
    """Train as `fit` does, without a journal, and return the least validation loss; infinite where it is no number."""
    learn_block = learn_on_tensorflow(tf, model, batch_rows(task))
    patience = task.parameters["patience"]
    best, best_epoch = np.inf, 0
    for epoch in range(1, int(str(task.parameters["epochs"])) + 1):
        loss = run_epoch(model, task, epoch, train, validation, learn_block)["val_loss"]
        if loss < best:
            best, best_epoch = loss, epoch
        if not np.isfinite(loss) or (patience is not None and epoch - best_epoch >= int(str(patience))):
            break
    return float(best)
