"""What TFX's Tuner calls: a seeded random search around the configured hyper-parameters. Knows no component.

The first trial is the configuration itself, so that what is found is never worse on the validation split.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import TrialStatus
from tensorflow_transform import TFTransformOutput
from tfx.components.tuner.component import TunerFnResult

from components.errors import ConfigError
from components.training.core.architecture import architecture_path
from components.training.core.prepared_data import PreparedSplit
from components.training.tfx.given import task_of, with_width
from components.training.tfx.hyperparameters import (
    DROPOUT,
    LEARNING_RATE,
    WIDTH_SCALE,
    apply_hyperparameters,
    hidden_widths,
)
from components.training.tfx.network import least_loss, make_network
from components.training.tfx.network_data import read_split, transformed_width
from components.types.dataset import Split
from components.types.training import TrainingTask

_OBJECTIVE = keras_tuner.Objective("val_loss", "min")
_WORST = float(np.finfo(np.float32).max)
"""The loss of a trial whose loss is no number."""


def tuner_fn(fn_args: Any) -> TunerFnResult:
    """Return the search that TFX's Tuner runs, with the transformed rows.

    Raises:
        ConfigError: there is nothing to search, or Transform does not give what our networks learn from.
        TrainingError: the examples are not the prepared rows.
    """
    task, transform = task_of(fn_args), TFTransformOutput(fn_args.transform_graph_path)
    where = str(architecture_path(task.kind, task.architecture))
    task = with_width(task, transformed_width(transform, where))
    folder = Path(tempfile.mkdtemp(dir=task.output_dir, prefix="tuner."))
    train = read_split(fn_args.train_files, transform, task, Split.TRAIN, folder)
    validation = read_split(fn_args.eval_files, transform, task, Split.VALIDATION, folder)
    search = Search(task, search_space(task), Path(fn_args.working_dir or folder))
    return TunerFnResult(tuner=search, fit_kwargs={"train": train, "validation": validation})


def search_space(task: TrainingTask) -> keras_tuner.HyperParameters:
    """Return what is searched, each with the configured value as its default.

    Raises:
        ConfigError: the architecture does not say what it can be tuned by.
    """
    space = keras_tuner.HyperParameters()
    rate = float(str(task.parameters[LEARNING_RATE]))
    if rate <= 0:
        raise ConfigError(f"training {task.training}: `learning_rate` is {rate}, expected a positive number to tune")
    space.Float(LEARNING_RATE, rate / 10, rate * 10, sampling="log", default=rate)
    if DROPOUT in task.parameters:
        share = float(str(task.parameters[DROPOUT]))
        space.Float(DROPOUT, 0.0, max(0.5, share), default=share)
    if "hidden" in task.parameters and hidden_widths(task):
        space.Choice(WIDTH_SCALE, [0.5, 1.0, 2.0], default=1.0)
    return space


class Search(keras_tuner.Tuner):
    """Trains each set of hyper-parameters as the training itself does."""

    def __init__(self, task: TrainingTask, space: keras_tuner.HyperParameters, folder: Path) -> None:
        """Prepare the search; ``trials`` of the task says how many sets are tried."""
        self._task = task
        oracle = _ConfiguredFirst(
            objective=_OBJECTIVE,
            max_trials=int(str(task.parameters["trials"])),
            seed=task.seed,
            hyperparameters=space,
            allow_new_entries=False,
        )
        super().__init__(oracle, directory=str(folder), project_name="search", overwrite=True)

    def run_trial(self, trial: Any, train: PreparedSplit, validation: PreparedSplit) -> float:
        """Return the least validation loss of one set."""
        task = apply_hyperparameters(self._task, trial.hyperparameters.values)
        loss = least_loss(make_network(task), task, train, validation)
        return min(loss, _WORST)


class _ConfiguredFirst(keras_tuner.oracles.RandomSearchOracle):
    """A random search whose first set is the configured one."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        if self.trials:
            found: dict[str, Any] = super().populate_space(trial_id)
            return found
        values = {each.name: each.default for each in self.hyperparameters.space}
        return {"status": TrialStatus.RUNNING, "values": values}
