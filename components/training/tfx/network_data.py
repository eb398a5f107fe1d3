"""The transformed examples as arrays, in the order of the prepared rows. Knows no network.

They are read once, into files that are mapped into memory, so that a table may be larger than it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import tensorflow as tf
from tensorflow_transform import TFTransformOutput

from components.errors import ConfigError, TrainingError
from components.training.core.architecture import architecture_path
from components.training.core.prepared_data import PreparedSplit
from components.training.tfx.preprocessing import FEATURES, ROW_ID, TARGET
from components.types.dataset import Split
from components.types.training import TrainingTask

_BATCH_ROWS = 4096


def transformed_width(transform: TFTransformOutput, where: str) -> int:
    """Return how many features a row has after Transform.

    Args:
        transform: The artifact ``transform_graph``.
        where: For messages: the file that defines the preprocessing.

    Raises:
        ConfigError: Transform does not give what our networks learn from.
    """
    found = transform.transformed_feature_spec()
    features, target = found.get(FEATURES), found.get(TARGET)
    dense = isinstance(features, tf.io.FixedLenFeature) and features.dtype == tf.float32 and len(features.shape) == 1
    if not dense or not isinstance(target, tf.io.FixedLenFeature):
        raise ConfigError(
            f"{where}: Transform gives {', '.join(sorted(found)) or 'nothing'}; for a network made by `build(task)` "
            "the `preprocessing_fn` must give `features`, float32 of shape (n_rows, n_features), and `target`, the "
            "int64 index of the class or the float32 standardised number; or define a `run_fn` of your own"
        )
    width: int = features.shape[0]
    return width


def read_split(
    patterns: Sequence[str], transform: TFTransformOutput, task: TrainingTask, split: Split, folder: Path
) -> PreparedSplit:
    """Return the transformed rows of a split.

    They have the order of the prepared rows where Transform gives their ids, else that of the files.

    Args:
        patterns: The files, as `FnArgs` names them.
        transform: Says how the examples are parsed.
        task: Its features have the width that Transform gives.
        split: Train or validation.
        folder: For the arrays; it must stay as long as they are used.

    Raises:
        ConfigError: a `preprocessing_fn` of the user's own gives other targets than the rows have.
        TrainingError: the examples are not the rows of the split.
    """
    rows, kind = task.spec.rows[split], np.int64 if task.spec.classes else np.float32
    features = np.lib.format.open_memmap(
        folder / f"{split}.npy", "w+", dtype=np.float32, shape=(rows, task.spec.n_features)
    )
    target = np.empty(rows, kind)
    places = _Places(task, split)
    count = 0
    for batch in _batches(patterns, transform):
        size = len(batch[TARGET])
        if count + size <= rows:
            where = places.of(batch, count)
            features[where] = batch[FEATURES]
            target[where] = batch[TARGET].reshape(-1)
        count += size
    if count != rows:
        raise TrainingError(f"Transform wrote {count} rows of the {split} split, expected {rows}; train again")
    if task.spec.classes and ROW_ID in transform.transformed_feature_spec():
        _require_classes(target, task, split)
    return PreparedSplit(features, target)


def _require_classes(target: Any, task: TrainingTask, split: Split) -> None:
    """Check that targets count the classes as the product does, which gives each probability its label."""
    expected = np.load(task.prepared_dir / f"{split}.target.npy")
    if off := np.flatnonzero(target != expected).tolist():
        label = task.spec.classes[expected[off[0]]]
        raise ConfigError(
            f"{architecture_path(task.kind, task.architecture)}: `preprocessing_fn` gives `{TARGET}` "
            f"{target[off[0]]} for the label {label!r}, expected {expected[off[0]]}, as for {len(off)} of "
            f"{len(target)} rows of the {split} split; give the index of the label in {task.spec.classes}"
        )


class _Places:
    """Where each example belongs."""

    def __init__(self, task: TrainingTask, split: Split) -> None:
        self._split = split
        column = pq.read_table(task.prepared_dir / f"{split}.parquet", columns=[task.spec.id_column]).column(0)
        ids = np.array([str(each).encode() for each in column.to_pylist()])
        self._order = np.argsort(ids)
        self._ids = ids[self._order]

    def of(self, batch: dict[str, Any], first: int) -> Any:
        """Return the row numbers of a batch of examples, `first` of which came before."""
        if ROW_ID not in batch:
            return np.arange(first, first + len(batch[TARGET]))
        found = batch[ROW_ID].reshape(-1).astype(bytes)
        places = np.minimum(np.searchsorted(self._ids, found), len(self._ids) - 1)
        if not (self._ids[places] == found).all():
            raise TrainingError(f"Transform wrote a row that the {self._split} split does not have; train again")
        return self._order[places]


def _batches(patterns: Sequence[str], transform: TFTransformOutput) -> Any:
    files = sorted(name for pattern in patterns for name in tf.io.gfile.glob(pattern))
    parsing = {
        name: how
        for name, how in transform.transformed_feature_spec().items()
        if name in (FEATURES, TARGET) or (name == ROW_ID and how.dtype == tf.string)
    }
    compression = "GZIP" if files and files[0].endswith(".gz") else ""
    dataset = tf.data.TFRecordDataset(files, compression).batch(_BATCH_ROWS)
    return dataset.map(lambda records: tf.io.parse_example(records, parsing)).as_numpy_iterator()
