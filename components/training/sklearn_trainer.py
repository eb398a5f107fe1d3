"""Fit an estimator of scikit-learn: by epochs where it can be, at once where it cannot. Knows no estimator by name."""

from __future__ import annotations

import copy
import inspect
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import sklearn

from components.errors import ConfigError, TrainingError
from components.training.core.architecture import architecture_path, build
from components.training.core.journal import EpochJournal
from components.training.core.object_file import read_object, write_object
from components.training.core.prepared_data import (
    Array,
    PreparedSplit,
    epoch_order,
    row_weights,
    train_split,
    validation_split,
)
from components.training.core.protocol import native_dir, network_path, validation_output_path
from components.training.core.scores import validation_scores
from components.types.training import TrainedModel, TrainingTask

PARAMETERS = ()
"""None for all estimators alike: each architecture names its own."""

PACKAGES = ("sklearn", "numpy", "scipy", "components")
"""Whose classes an estimator may be made of: scikit-learn's, and those beside an architecture of the user's own."""

NATIVE_FILE = "estimator.zip"
_LAST, _BEST = "last.zip", "best.zip"


class SklearnTrainer:
    """The baseline: no network, no framework to install."""

    def fit(self, task: TrainingTask) -> TrainedModel:
        """Train, and write the estimator with its output on the validation split."""
        estimator = build(task)
        _check(estimator, task)
        train, validation = train_split(task), validation_split(task)
        by_epochs = hasattr(estimator, "partial_fit") and "epochs" in task.parameters
        fit = _fit_by_epochs if by_epochs else _fit_at_once
        estimator, journal = fit(estimator, task, train, validation)
        native = native_dir(task) / NATIVE_FILE
        write_object(estimator, native, PACKAGES)
        np.save(validation_output_path(task), predict(estimator, validation.features, task))
        return TrainedModel(
            network=network_path(task),
            raw_product=None,
            native=(native,),
            validation_output=validation_output_path(task),
            framework=f"scikit-learn {sklearn.__version__}",
            epochs_run=journal.epochs_run,
            best_epoch=journal.best_epoch if by_epochs else journal.epochs_run,
            resumed_from_epoch=journal.resumed_from_epoch,
        )


def predict(estimator: Any, features: Array, task: TrainingTask) -> Array:
    """Return the estimator's output, float32: probabilities (n_rows, n_classes), or values (n_rows, 1).

    Raises:
        TrainingError: the estimator has seen fewer classes than there are.
    """
    if not task.spec.classes:
        values: Array = np.asarray(estimator.predict(features), dtype=np.float32).reshape(-1, 1)
        return values
    probabilities: Array = np.asarray(estimator.predict_proba(features), dtype=np.float32)
    if probabilities.shape[1] != len(task.spec.classes):
        raise TrainingError(
            f"the train split of {task.model} holds {probabilities.shape[1]} of {len(task.spec.classes)} classes; "
            "split stratified, or drop the rare class from the data"
        )
    return probabilities


def _check(estimator: Any, task: TrainingTask) -> None:
    """Check that the user's function returned something that can be trained for this task."""
    needed = ("fit", "predict_proba" if task.spec.classes else "predict")
    if missing := [name for name in needed if not hasattr(estimator, name)]:
        raise ConfigError(
            f"{architecture_path(task.kind, task.architecture)}: build(task) returned {type(estimator).__name__}, "
            f"which has no `{missing[0]}`; a {task.spec.task.value} model needs one"
        )


def _fit_by_epochs(
    estimator: Any, task: TrainingTask, train: PreparedSplit, validation: PreparedSplit
) -> tuple[Any, EpochJournal]:
    weights = row_weights(task, train.target)
    with EpochJournal(task) as journal:
        best = estimator
        if journal.resumed_state:
            estimator = read_object(journal.resumed_state / _LAST, PACKAGES)
            best = read_object(journal.resumed_state / _BEST, PACKAGES)
        for epoch in journal.remaining_epochs():
            order = epoch_order(task, epoch, train.rows)
            _learn(estimator, task, train, weights, order)
            if journal.record(epoch, _metrics(estimator, task, train, validation)):
                best = copy.deepcopy(estimator)
            journal.checkpoint(epoch, partial(_save, last=estimator, best=best))
    return best, journal


def _learn(estimator: Any, task: TrainingTask, train: PreparedSplit, weights: Array | None, order: Array) -> None:
    arguments: dict[str, Any] = {}
    if task.spec.classes:
        arguments["classes"] = np.arange(len(task.spec.classes))
    if weights is not None:
        arguments["sample_weight"] = weights[order]
    try:
        estimator.partial_fit(train.features[order], train.target[order], **arguments)
    except ValueError as error:
        if "non-finite" in str(error):
            raise TrainingError(
                f"training {task.training}: the weights are no longer finite; lower the learning rate, or look at the "
                "prepared features for extreme values"
            ) from error
        raise


def _fit_at_once(
    estimator: Any, task: TrainingTask, train: PreparedSplit, validation: PreparedSplit
) -> tuple[Any, EpochJournal]:
    accepted = inspect.signature(estimator.fit).parameters
    arguments: dict[str, Any] = {}
    if (weights := row_weights(task, train.target)) is not None:
        if "sample_weight" not in accepted:
            raise ConfigError(
                f"{type(estimator).__name__} takes no weights; set `class_weights: none` in `models.{task.model}."
                "features`, or choose another architecture"
            )
        arguments["sample_weight"] = weights
    if "X_val" in accepted and getattr(estimator, "early_stopping", False):
        arguments |= {"X_val": validation.features, "y_val": validation.target}
    with EpochJournal(task, None if "epochs" in task.parameters else 1) as journal:
        estimator.fit(train.features, train.target, **arguments)
        rounds = int(np.max(getattr(estimator, "n_iter_", None) or 1))
        losses = [getattr(estimator, name, ()) for name in ("train_score_", "validation_score_")]
        for number, (loss, val_loss) in enumerate(zip(*losses, strict=False)):
            if 0 < number < rounds:
                journal.record(number, {"loss": -loss, "val_loss": -val_loss})
        journal.record(rounds, _metrics(estimator, task, train, validation))
    return estimator, journal


def _metrics(estimator: Any, task: TrainingTask, train: PreparedSplit, validation: PreparedSplit) -> dict[str, float]:
    loss = getattr(estimator, "loss_", None)  # what an epoch of `partial_fit` has measured on its way
    if not isinstance(loss, (int, float)):
        loss = _scores(estimator, task, train)["val_loss"]
    return {"loss": float(loss), **_scores(estimator, task, validation)}


def _scores(estimator: Any, task: TrainingTask, split: PreparedSplit) -> dict[str, float]:
    output = predict(estimator, split.features, task)
    if task.spec.classes:
        output = np.log(np.clip(output, 1e-15, 1.0))  # logits that give these probabilities
    return validation_scores(task, output, split)


def _save(folder: Path, last: Any, best: Any) -> None:
    write_object(last, folder / _LAST, PACKAGES)
    write_object(best, folder / _BEST, PACKAGES)
