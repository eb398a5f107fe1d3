"""The smallest trainer, the same answer for every row: a baseline, a stand-in for tests, an example to copy."""

from __future__ import annotations

import numpy as np

from components.training.core.architecture import build
from components.training.core.journal import EpochJournal
from components.training.core.prepared_data import Array, train_split, validation_split
from components.training.core.protocol import native_dir, network_path, validation_output_path
from components.types.training import TrainedModel, TrainingTask

PARAMETERS = ()

NATIVE_FILE = "output.npy"


class ConstantTrainer:
    """Needs numpy alone."""

    def fit(self, task: TrainingTask) -> TrainedModel:
        """Learn one output for all rows."""
        train, validation = train_split(task), validation_split(task)
        output = build(task)(train.target)
        with EpochJournal(task, epochs=1) as journal:
            losses = {"loss": _loss(output, train.target, task), "val_loss": _loss(output, validation.target, task)}
            journal.record(1, losses)
        native = native_dir(task) / NATIVE_FILE
        np.save(native, output)
        np.save(validation_output_path(task), np.tile(output, (validation.rows, 1)))
        return TrainedModel(
            network=network_path(task),
            raw_product=None,
            native=(native,),
            validation_output=validation_output_path(task),
            framework=f"numpy {np.__version__}",
            epochs_run=journal.epochs_run,
            best_epoch=journal.best_epoch,
            resumed_from_epoch=journal.resumed_from_epoch,
        )


def _loss(output: Array, target: Array, task: TrainingTask) -> float:
    """Return the mean cross-entropy, or the mean squared error."""
    if task.spec.classes:
        return float(-np.log(np.clip(output[target], 1e-7, 1.0)).mean())
    return float(np.square(target - output[0]).mean())
