"""What TFMA is fed: the product's own predictions, by the signature that serves, on raw columns. Knows no threshold.

TFX's Evaluator finds `custom_extractors` by this module's name. It runs in the process that runs the pipeline, so the
prepared data are told through the environment variable `PREPARED_VARIABLE`; all else comes with the extracts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_model_analysis as tfma

from components.runtime.savedmodel.names import input_key
from components.training.tfx.exact import exact_name
from components.types import record
from components.types.dataset import MISSING_STRING, ColumnType
from components.types.product import InputSpec
from components.types.training import PREPARED_FILE, PreparedSpec

PREPARED_VARIABLE = "TOWPATH_PREPARED"
MISSING_SLICE = "(missing)"
_SIGNATURE = "serving_default"


def custom_extractors(eval_shared_model: Any, eval_config: Any, tensor_adapter_config: Any) -> list[Any]:  # noqa: ARG001
    """Return the steps from raw examples to slices of predictions; TFX's Evaluator calls this."""
    spec = record.read(PreparedSpec, Path(os.environ[PREPARED_VARIABLE]) / PREPARED_FILE)
    slices = [name for each in eval_config.slicing_specs for name in each.feature_keys]
    predict = beam.ParDo(_Predict(eval_shared_model.model_path, spec, slices))
    return [
        tfma.extractors.Extractor(stage_name="PredictAsServed", ptransform=predict),
        tfma.extractors.UnbatchExtractor(),
        tfma.extractors.SliceKeyExtractor(eval_config=eval_config, materialize=False),
    ]


class _Predict(beam.DoFn):
    """Ask the product for each batch of rows, as a server would."""

    def __init__(self, model: str, spec: PreparedSpec, slices: list[str]) -> None:
        self._model = model
        self._spec = spec
        self._slices = slices
        self._ask: Any = None

    def setup(self) -> None:
        """Load the product; once for each worker of Beam."""
        self._loaded = tf.saved_model.load(self._model)
        self._ask = self._loaded.signatures[_SIGNATURE]

    def process(self, element: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Give labels, predictions and the columns to cut by, for one batch."""
        batch = element[tfma.ARROW_RECORD_BATCH_KEY]
        columns = {each.name: raw_column(batch, each) for each in self._spec.inputs}
        outputs = self._ask(**{input_key(name): tf.constant(values) for name, values in columns.items()})
        yield {
            tfma.FEATURES_KEY: {name: _names(columns[name])[:, None] for name in self._slices},
            tfma.LABELS_KEY: targets(batch, self._spec)[:, None],
            tfma.PREDICTIONS_KEY: _scores(outputs, self._spec),
        }


def raw_column(batch: Any, spec: InputSpec) -> np.ndarray:
    """Return one input of a batch of examples as the product takes it, of shape (n_rows, *spec.shape)."""
    if (exact := _exact(batch, spec.name)) is not None:
        return exact
    kinds = {ColumnType.FLOAT64: np.float64, ColumnType.INT64: np.int64, ColumnType.BOOL: np.bool_}
    if spec.type is ColumnType.STRING:
        found = np.full(batch.num_rows, MISSING_STRING.encode(), dtype=object)
    else:
        size = int(np.prod(spec.shape, dtype=np.int64))
        shape = (batch.num_rows, size) if spec.shape else (batch.num_rows,)
        missing = np.nan if spec.type is ColumnType.FLOAT64 else 0
        found = np.full(shape, missing, dtype=kinds[spec.type])
    values, present = _values(batch, spec.name)
    if present.any():
        found[present] = values.reshape(-1, *found.shape[1:])
    return found.reshape(batch.num_rows, *spec.shape)


def targets(batch: Any, spec: PreparedSpec) -> np.ndarray:
    """Return each row's class index, or its number in the target's units."""
    if not spec.classes and (exact := _exact(batch, spec.label_column)) is not None:
        return exact
    values, _ = _values(batch, spec.label_column)
    if not spec.classes:
        return np.asarray(values, np.float64)
    index = {each.encode() if isinstance(each, str) else int(each): place for place, each in enumerate(spec.classes)}
    return np.array([index[value] for value in values.tolist()], np.int64)


def _exact(batch: Any, name: str) -> np.ndarray | None:
    """Return the float64 values of a column whose bits travel beside it, or None."""
    bits, present = _values(batch, exact_name(name))
    return bits.astype(np.int64).view(np.float64) if present.any() else None


def _values(batch: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of a column of lists, one after the other, and which rows have some."""
    place = batch.schema.get_field_index(name)
    if place < 0:  # TFX leaves a feature out of a batch in which no row has it
        return np.array([]), np.zeros(batch.num_rows, np.bool_)
    lists = batch.column(place)
    present = np.asarray(lists.is_valid().to_numpy(zero_copy_only=False), np.bool_)
    if not present.any():
        return np.array([]), present
    return lists.flatten().to_numpy(zero_copy_only=False), present


def _scores(outputs: Mapping[str, Any], spec: PreparedSpec) -> np.ndarray:
    """Return what TFMA compares with the targets: for a binary model the positive's probability."""
    if not spec.classes:
        return np.asarray(outputs["prediction"].numpy(), np.float64)[:, None]
    probabilities = np.asarray(outputs["probabilities"].numpy())
    return probabilities[:, 1:] if len(spec.classes) == 2 else probabilities


def _names(values: np.ndarray) -> np.ndarray:
    """Return a column as the names of slices."""
    missing = MISSING_STRING.encode()
    if values.dtype == object:
        texts = [MISSING_SLICE if each == missing else each.decode() for each in values]
    else:
        texts = [str(each).lower() if isinstance(each, bool) else str(each) for each in values.tolist()]
    return np.array(texts, dtype=object)
