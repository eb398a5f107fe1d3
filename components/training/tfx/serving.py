"""Write a trained network as a SavedModel from raw columns to the prediction, and a product of it. Trains nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_transform import TFTransformOutput

from components.errors import ConfigError
from components.runtime.protocol import PREDICTION, PROBABILITIES
from components.stage.files import whole_directory, write_json
from components.training.tfx.canonical import make_canonical
from components.training.tfx.encode import by_name, column_specs, raw_features
from components.types.product import SIGNATURE_FILE, Signature
from components.types.training import PreparedSpec

SAVEDMODEL_DIR = "savedmodel"
SIGNATURE = "serving_default"
FEATURES = "features"
"""What a Transform graph calls a row's features, float32 of shape (n_rows, n_features)."""


def save_network(network: Any, transform_dir: Path, spec: PreparedSpec, folder: Path) -> None:
    """Write a network behind its Transform graph as a SavedModel.

    Args:
        network: A Keras model from features to logits, or to one standardised number.
        transform_dir: The artifact ``transform_graph``.
        spec: Names the raw columns and the classes.
        folder: What it held before is replaced.

    Raises:
        ConfigError: the Transform graph takes a column as another type than it has, or two columns have one key.
    """
    model = tf.Module()
    model.transform = tf.saved_model.load(str(transform_dir / TFTransformOutput.TRANSFORM_FN_DIR))
    model.weights = [variable.value for variable in network.variables]
    (wanted,), _ = model.transform.transform_fn.structured_input_signature

    def predict(columns: Mapping[str, Any]) -> dict[str, Any]:
        features = model.transform.transform_fn(raw_features(columns, wanted))[FEATURES]
        return head(network(features, training=False), spec)

    save(model, predict, spec, folder)


def save(
    model: tf.Module, predict: Callable[[Mapping[str, Any]], dict[str, Any]], spec: PreparedSpec, folder: Path
) -> None:
    """Write a SavedModel with one signature, whose bytes depend on the model alone.

    Args:
        model: Holds all variables and tables that `predict` uses.
        predict: From the raw columns by their names to the outputs of `head`.
        spec: Names the raw columns.
        folder: What it held before is replaced.

    Raises:
        ConfigError: two columns have one key.
    """
    served = tf.function(lambda columns: predict(by_name(columns, spec.inputs)), autograph=False)
    signature = served.get_concrete_function(column_specs(spec.inputs))
    with whole_directory(folder) as written:
        tf.saved_model.save(model, str(written), {SIGNATURE: signature})
        make_canonical(written)


def head(output: Any, spec: PreparedSpec) -> dict[str, Any]:
    """Return the outputs of a product for the logits, or the standardised numbers, of a network."""
    if not spec.classes:
        value = tf.cast(tf.reshape(output, [-1]), tf.float64)
        return {PREDICTION: value * spec.target_scale + spec.target_mean}
    return labelled(tf.nn.softmax(tf.cast(output, tf.float32)), spec)


def labelled(probabilities: Any, spec: PreparedSpec) -> dict[str, Any]:
    """Return probabilities, float32 of shape (n_rows, n_classes), with each row's most probable label."""
    kind = {bool: tf.bool, int: tf.int64, str: tf.string}[type(spec.classes[0])]
    labels = tf.constant(spec.classes, kind)
    return {PREDICTION: tf.gather(labels, tf.argmax(probabilities, axis=1)), PROBABILITIES: probabilities}


def write_product(saved: Path, spec: PreparedSpec, product_dir: Path) -> Path:
    """Write a product of a SavedModel that `save` wrote, byte for byte, and return its folder.

    Raises:
        ConfigError: what was saved has no signature from raw columns.
    """
    if not (saved / "saved_model.pb").is_file():
        raise ConfigError(f"{saved} holds no SavedModel; the `run_fn` must write one to `fn_args.serving_model_dir`")
    with whole_directory(product_dir) as folder:
        shutil.copytree(saved, folder / SAVEDMODEL_DIR)
        write_json(folder / SIGNATURE_FILE, Signature(task=spec.task, inputs=spec.inputs, classes=spec.classes))
    return product_dir
