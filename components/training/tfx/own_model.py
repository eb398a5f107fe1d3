"""Train by a ``run_fn`` of the user's own, and wrap what it saved so that it takes raw columns. Knows no component.

The user's model is what TFX's guides make: a SavedModel whose ``serving_default`` takes serialized tf.train.Examples (a
string tensor of shape (n_rows,)) and gives

- for classes ``probabilities`` of shape (n_rows, n_classes) in the order of the signature, which is that of the sorted
  labels, or ``logits`` of that shape; for two classes also one number per row, the second class's probability or logit;
- for a number, one number per row, in the label's own units.

An output whose name has ``logit`` in it is one of logits. A model with several outputs must name the one that counts
``probabilities``, ``logits`` or ``prediction``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow_transform import TFTransformOutput
from tfx_bsl.coders import example_coder

from components.errors import ConfigError
from components.runtime.protocol import PREDICTION, PROBABILITIES
from components.training.core.architecture import architecture_path
from components.training.core.journal import EpochJournal
from components.training.core.prepared_data import PreparedSplit, train_split, validation_split
from components.training.core.protocol import validation_output_path
from components.training.core.scores import validation_scores
from components.training.tfx.encode_examples import serialized_examples
from components.training.tfx.exact import exact_name
from components.training.tfx.examples import example_batches
from components.training.tfx.serving import SIGNATURE, labelled, save
from components.types.dataset import Split
from components.types.training import PreparedSpec, TrainingTask

Array = np.ndarray[Any, Any]

_NAMES = ("probabilities", "logits", "prediction")
_BATCH_ROWS = 4096
_TOLERANCE = 1e-3
"""How far a row's probabilities may be from 1 in sum."""


def train_own(run_fn: Callable[[Any], None], task: TrainingTask, fn_args: Any) -> tuple[int, int, int]:
    """Call the user's function, wrap its model in place, and return how many epochs ran, the best, the resumed one.

    To the pipeline it is one epoch: what happens inside is the user's own.

    Raises:
        ConfigError: the model is not what this module says.
        TrainingError: its loss is not a finite number.
    """
    keras.utils.clear_session()  # names of layers count from 0 again, whatever was built before
    keras.utils.set_random_seed(task.seed)
    run_fn(fn_args)
    where = str(architecture_path(task.kind, task.architecture))
    folder = Path(fn_args.serving_model_dir)
    model = OwnModel(folder, task.spec, exact_columns_of(fn_args, task.spec), where)
    outputs = {split: model.predict_split(task, split) for split in (Split.TRAIN, Split.VALIDATION)}
    model.check(outputs[Split.VALIDATION])
    _record(task, outputs)
    np.save(validation_output_path(task), outputs[Split.VALIDATION])
    save(model, model.predict, task.spec, folder)
    return 1, 1, 0


def exact_columns_of(fn_args: Any, spec: PreparedSpec) -> tuple[str, ...]:
    """Return the columns, the label among them, whose bits travel beside them in the examples Transform takes."""
    folder = Path(fn_args.transform_graph_path) / TFTransformOutput.TRANSFORM_FN_DIR
    (wanted,), _ = tf.saved_model.load(str(folder)).transform_fn.structured_input_signature
    names = (*(each.name for each in spec.inputs), spec.label_column)
    return tuple(name for name in names if exact_name(name) in wanted)


class OwnModel(tf.Module):
    """A model of the user's own, behind serialized Examples."""

    def __init__(self, folder: Path, spec: PreparedSpec, exact: Collection[str], where: str) -> None:
        """Load the model.

        Raises:
            ConfigError: it is not what this module says.
        """
        super().__init__()
        if not (folder / "saved_model.pb").is_file():
            raise ConfigError(
                f"{where}: `run_fn` left no SavedModel in `fn_args.serving_model_dir`; export the model there"
            )
        self.loaded = tf.saved_model.load(str(folder))
        self._spec, self._exact, self._where = spec, tuple(exact), where
        if SIGNATURE not in self.loaded.signatures:
            raise ConfigError(f"{where}: the model has no signature `{SIGNATURE}`; {_EXPECTED}")
        self._served = self.loaded.signatures[SIGNATURE]
        self._input = self._only_input()
        self._output = self._only_output()

    def predict(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Return a product's outputs for raw columns, inside a graph."""
        label = self._spec.label_column
        more = {exact_name(name): columns[name] for name in self._exact if name != label}
        # a schema asks for the label and the id, which no request has; a prediction that looks at them is found out
        # when it is compared with that for the true ones
        more |= {self._spec.id_column: tf.constant(""), label: _filler(self._spec)}
        if label in self._exact:
            more[exact_name(label)] = tf.constant(0, tf.int64)
        return self._outputs(serialized_examples(columns, more))

    def predict_split(self, task: TrainingTask, split: Split) -> Array:
        """Return the probabilities, or the numbers, of a split, from examples that are encoded outside of the graph."""
        encoder, found = example_coder.RecordBatchToExamplesEncoder(), []
        for batch in example_batches(task.prepared_dir / f"{split}.parquet", self._spec, self._exact):
            examples = encoder.encode(batch)
            for start in range(0, len(examples), _BATCH_ROWS):
                outputs = self._outputs(tf.constant(examples[start : start + _BATCH_ROWS]))
                found.append(outputs[PROBABILITIES if self._spec.classes else PREDICTION].numpy())
        return np.concatenate(found)

    def check(self, output: Array) -> None:
        """Check that probabilities are some.

        Raises:
            ConfigError: they are not.
        """
        if not self._spec.classes or not np.isfinite(output).all():
            return  # a loss that is no number is the journal's to refuse
        off = np.abs(output.sum(axis=1) - 1).max()
        if output.min() < 0 or output.max() > 1 or off > _TOLERANCE:
            raise ConfigError(
                f"{self._where}: output `{self._output}` of the model holds no probabilities (from {output.min():.4g} "
                f"to {output.max():.4g}, a row's sum is off by {off:.2g}); {_EXPECTED}"
            )

    def _outputs(self, examples: Any) -> dict[str, Any]:
        output = self._served(**{self._input: examples})[self._output]
        if not self._spec.classes:
            return {PREDICTION: tf.cast(tf.reshape(output, [-1]), tf.float64)}
        n_classes, logits = len(self._spec.classes), "logit" in self._output.lower()
        output = tf.cast(output, tf.float32)
        if output.shape.rank == 2 and output.shape[1] == n_classes:
            return labelled(tf.nn.softmax(output) if logits else output, self._spec)
        positive = tf.reshape(tf.sigmoid(output) if logits else output, [-1, 1])
        return labelled(tf.concat([1 - positive, positive], axis=1), self._spec)

    def _only_input(self) -> str:
        _, wanted = self._served.structured_input_signature
        if [each.dtype for each in wanted.values()] != [tf.string]:
            found = ", ".join(f"{name} ({each.dtype.name})" for name, each in wanted.items()) or "nothing"
            raise ConfigError(f"{self._where}: signature `{SIGNATURE}` of the model takes {found}; {_EXPECTED}")
        name: str = next(iter(wanted))
        return name

    def _only_output(self) -> str:
        found = self._served.structured_outputs
        named = [name for name in _NAMES if name in found] or (list(found) if len(found) == 1 else [])
        if not named or not self._fits(found[named[0]].shape):
            shapes = ", ".join(f"{name} of shape {each.shape}" for name, each in found.items())
            raise ConfigError(f"{self._where}: signature `{SIGNATURE}` of the model gives {shapes}; {_EXPECTED}")
        name: str = named[0]
        return name

    def _fits(self, shape: Any) -> bool:
        widths = {0: {1}, 2: {1, 2}}.get(len(self._spec.classes), {len(self._spec.classes)})
        return (shape.rank == 2 and shape[1] in widths) or (shape.rank == 1 and 1 in widths)


_EXPECTED = (
    "expected one string tensor of serialized tf.train.Examples, and for classes their `probabilities` or `logits` of "
    "shape (n_rows, n_classes), for two classes also one number per row, for a number one number per row"
)


def _filler(spec: PreparedSpec) -> Any:
    """Return a label as an Example has it."""
    if not spec.classes:
        return tf.constant(0.0, tf.float32)
    first = spec.classes[0]
    return tf.constant(first) if isinstance(first, str) else tf.constant(int(first), tf.int64)


def _record(task: TrainingTask, outputs: dict[Split, Array]) -> None:
    """Write the metrics of a training that is one epoch to the pipeline."""
    splits = {Split.TRAIN: train_split(task), Split.VALIDATION: validation_split(task)}
    scores = {split: _scores(task, outputs[split], rows) for split, rows in splits.items()}
    with EpochJournal(task, epochs=1) as journal:
        journal.record(1, {"loss": scores[Split.TRAIN]["val_loss"], **scores[Split.VALIDATION]})


def _scores(task: TrainingTask, output: Array, rows: PreparedSplit) -> dict[str, float]:
    if task.spec.classes:
        return validation_scores(task, np.log(np.clip(output.astype(np.float64), 1e-30, 1)), rows)
    standardised = (output.astype(np.float64) - task.spec.target_mean) / task.spec.target_scale
    return validation_scores(task, standardised.reshape(-1, 1), rows)
