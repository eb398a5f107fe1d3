"""Fit a Keras model, on TensorFlow, JAX or torch. Knows no architecture by name.

The loop is ours and the step is the model's own (`train_step`, so that a subclass may change it): on TensorFlow one
call of a compiled function goes through a whole block of batches, and the order of the rows and all that is random
depend on the seed, the epoch and the checkpoint alone.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import zipfile
from collections.abc import Iterable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from components.errors import ConfigError, MissingExtraError
from components.training.core.architecture import architecture_path, build
from components.training.core.blocks import Array
from components.training.core.keras_course import LearnBlock, batch_rows, fit, learn_on_tensorflow, predict
from components.training.core.light_import import light_import, without
from components.training.core.prepared_data import train_split, validation_split
from components.training.core.protocol import native_dir, network_path, validation_output_path
from components.types.training import TrainedModel, TrainingTask

PARAMETERS = ("backend", "batch_size", "device", "epochs", "learning_rate", "patience", "weight_decay")

NATIVE_FILE = "model.keras"
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)
_BACKENDS = ("jax", "tensorflow", "torch")
_OPTIONAL = ("PIL", "matplotlib", "pandas", "sklearn")
_UNFIT_LAYERS = {
    "Lambda": "its code cannot be loaded safely; write a layer of your own, registered with "
    "keras.saving.register_keras_serializable",
    "Normalization": "it breaks in an ONNX graph; the features are scaled already",
}
_STEPS_PER_CALL = 50


class KerasTrainer:
    """Trains what ``build(task)`` returns: a `keras.Model` that is not compiled."""

    def fit(self, task: TrainingTask) -> TrainedModel:
        """Train, and write the ``.keras`` file with its output on the validation split."""
        backend = str(task.parameters["backend"])
        with without(*(other for other in _BACKENDS if other != backend)):  # Keras looks for them all
            return self._fit(task, backend)

    def _fit(self, task: TrainingTask, backend: str) -> TrainedModel:
        keras = _import_keras(task, backend)
        model = _compiled_model(keras, task, backend)
        train, validation = train_split(task), validation_split(task)
        journal = fit(model, task, train, validation, _learner(model, backend, batch_rows(task)))
        native = native_dir(task) / NATIVE_FILE
        _write_model(model, native)
        np.save(validation_output_path(task), predict(model, validation))
        return TrainedModel(
            network=network_path(task),
            raw_product=None,
            native=(native,),
            validation_output=validation_output_path(task),
            framework=f"keras {keras.__version__} on {backend} {_backend_version(backend)}",
            epochs_run=journal.epochs_run,
            best_epoch=journal.best_epoch,
            resumed_from_epoch=journal.resumed_from_epoch,
        )


def _import_keras(task: TrainingTask, backend: str) -> Any:
    """Import Keras on one backend, seeded; the environment must be set before.

    Raises:
        MissingExtraError: the backend is not installed.
    """
    if find_spec(backend) is None:
        extra = {"tensorflow": "keras", "torch": "lightning"}.get(backend, backend)
        raise MissingExtraError.of(f"training {task.training}: backend `{backend}` is not installed", extra)
    os.environ["KERAS_BACKEND"] = backend
    if task.parameters["device"] == "cpu":
        os.environ |= {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    if task.threads == 1:
        os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
    with light_import(*_OPTIONAL, *(() if backend == "jax" else ("scipy",))):
        import keras
    keras.utils.set_random_seed(task.seed)
    if backend == "tensorflow":
        import tensorflow

        tensorflow.config.experimental.enable_op_determinism()
    return keras


def _compiled_model(keras: Any, task: TrainingTask, backend: str) -> Any:
    """Return the user's model, built, checked and compiled, with the variables of its optimiser.

    Raises:
        ConfigError: it is not a model that can be trained and exported.
    """
    model, where = build(task), architecture_path(task.kind, task.architecture)
    if not isinstance(model, keras.Model):
        raise ConfigError(f"{where}: build(task) returned {type(model).__name__}, expected a keras.Model")
    if getattr(model, "compiled", False):
        raise ConfigError(f"{where}: build(task) returned a compiled model; leave out `compile`, the trainer calls it")
    if unfit := [layer for layer in _all_layers(model) if type(layer).__name__ in _UNFIT_LAYERS]:
        kind = type(unfit[0]).__name__
        raise ConfigError(f"{where}: layer `{unfit[0].name}` is a {kind} layer; {_UNFIT_LAYERS[kind]}")
    shape = tuple(model(np.zeros((1, task.spec.n_features), np.float32)).shape)
    if shape != (1, task.spec.n_outputs):
        raise ConfigError(
            f"{where}: the network turns one row into shape {shape}, expected (1, {task.spec.n_outputs}): "
            + ("one number (a logit, before any softmax) per class" if task.spec.classes else "one number")
        )
    weight_decay = task.parameters["weight_decay"]
    optimizer = keras.optimizers.Adam(task.parameters["learning_rate"], weight_decay=weight_decay or None, epsilon=1e-8)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        optimizer=optimizer,
        loss=loss if task.spec.classes else keras.losses.MeanSquaredError(),
        steps_per_execution=_STEPS_PER_CALL if backend == "jax" else 1,
        jit_compile=backend == "jax",
    )
    optimizer.build(model.trainable_variables)
    return model


def _all_layers(model: Any) -> Iterable[Any]:
    for layer in getattr(model, "layers", ()):
        yield layer
        yield from _all_layers(layer)


def _learner(model: Any, backend: str, rows_per_step: int) -> LearnBlock:
    if backend != "tensorflow":
        return _learn_by_fit(model, rows_per_step)
    import tensorflow

    return learn_on_tensorflow(tensorflow, model, rows_per_step)


def _learn_by_fit(model: Any, rows_per_step: int) -> LearnBlock:
    """Return a function that goes through the batches of a block with Keras's own loop."""

    def learn_block(block: tuple[Array, ...]) -> None:
        features, target, *weights = block
        model.fit(
            features, target, rows_per_step, sample_weight=weights[0] if weights else None, shuffle=False, verbose=0
        )

    return learn_block


def _write_model(model: Any, path: Path) -> None:
    """Write a ``.keras`` file whose bytes depend on the model alone: not on the time, nor on addresses in memory."""
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / path.name
        model.save(written)
        with zipfile.ZipFile(written) as source, zipfile.ZipFile(path, "w") as target:
            for name in sorted(source.namelist()):
                content = source.read(name)
                if name == "metadata.json":
                    content = json.dumps({**json.loads(content), "date_saved": "1980-01-01@00:00:00"}).encode()
                if name == "config.json":
                    content = _renumbered(content)
                target.writestr(zipfile.ZipInfo(name, _FIRST_DAY), content)


def _renumbered(config: bytes) -> bytes:
    """Count shared objects in the order in which they come; Keras identifies them by their addresses."""
    numbers: dict[bytes, int] = {}
    return re.sub(
        rb'("shared_object_id": )(\d+)',
        lambda match: match[1] + str(numbers.setdefault(match[2], len(numbers))).encode(),
        config,
    )


def _backend_version(backend: str) -> str:
    if backend == "tensorflow":  # its packages have several names
        import tensorflow

        return str(tensorflow.__version__)
    return version(backend)
