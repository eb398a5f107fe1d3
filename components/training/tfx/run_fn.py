"""What TFX's Trainer calls: train, leave the SavedModel, and what the framework itself predicts. Knows no component.

``fn_args.custom_config["task"]`` is the `TrainingTask` as JSON. An architecture that defines a ``run_fn`` of its own is
trained by that (`own_model`); any other by `network`, on what Transform gives.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_transform import TFTransformOutput

from components.stage.files import write_json
from components.training.core.architecture import architecture_path
from components.training.core.keras_course import batch_rows, fit, learn_on_tensorflow, predict
from components.training.core.protocol import native_dir, validation_output_path
from components.training.tfx.given import task_of, with_width
from components.training.tfx.hyperparameters import apply_hyperparameters, hyperparameter_values
from components.training.tfx.network import make_network
from components.training.tfx.network_data import read_split, transformed_width
from components.training.tfx.own_model import train_own
from components.training.tfx.serving import head, save_network
from components.types.dataset import Split
from components.types.training import TrainingTask

COURSE_FILE = "course.json"
"""A `Course`, in the task's output folder."""
HYPERPARAMETERS_FILE = "tfx/hyperparameters.json"
"""What the Tuner found, in the folder of native files."""
RUN_FN = "run_fn"


@dataclass(frozen=True)
class Course:
    """How a training went."""

    epochs_run: int
    best_epoch: int
    resumed_from_epoch: int


def run_fn(fn_args: Any) -> None:
    """Train, and write the SavedModel to ``fn_args.serving_model_dir``.

    In the task's output folder it leaves the metrics, the framework's own output on the validation split
    (`validation_output_path`), the `Course`, and the hyper-parameters where a Tuner found some.

    Raises:
        ConfigError: the architecture, or what its functions give, cannot be trained or served.
        TrainingError: a loss is not a finite number, or the examples are not the prepared rows.
        StageCancelledError: the process was asked to stop; the state is stored.
    """
    task = task_of(fn_args)
    if values := hyperparameter_values(fn_args.hyperparameters):
        task = apply_hyperparameters(task, values)
        write_json(native_dir(task) / HYPERPARAMETERS_FILE, values)
    own = own_run_fn(task)
    course = _train_network(task, fn_args) if own is None else Course(*train_own(own, task, fn_args))
    write_json(task.output_dir / COURSE_FILE, course)


def own_run_fn(task: TrainingTask) -> Callable[[Any], None] | None:
    """Return the architecture's own ``run_fn``, or None where it builds a network."""
    module = importlib.import_module(f"components.models.{task.kind}.{task.architecture}")
    found: Callable[[Any], None] | None = getattr(module, RUN_FN, None)
    return found


def _train_network(task: TrainingTask, fn_args: Any) -> Course:
    transform = TFTransformOutput(fn_args.transform_graph_path)
    task = with_width(task, transformed_width(transform, str(architecture_path(task.kind, task.architecture))))
    with tempfile.TemporaryDirectory(dir=task.output_dir) as folder:
        train = read_split(fn_args.train_files, transform, task, Split.TRAIN, Path(folder))
        validation = read_split(fn_args.eval_files, transform, task, Split.VALIDATION, Path(folder))
        model = make_network(task)
        journal = fit(model, task, train, validation, learn_on_tensorflow(tf, model, batch_rows(task)))
        outputs = head(tf.constant(predict(model, validation)), task.spec)
    _write_validation_output(task, outputs)
    save_network(model, Path(fn_args.transform_graph_path), task.spec, Path(fn_args.serving_model_dir))
    return Course(journal.epochs_run, journal.best_epoch, journal.resumed_from_epoch)


def _write_validation_output(task: TrainingTask, outputs: dict[str, Any]) -> None:
    """Write the probabilities, or the numbers in the target's units."""
    np.save(validation_output_path(task), outputs["probabilities" if task.spec.classes else "prediction"].numpy())
