"""The prepared arrays, as a trainer reads them. Numpy only; the test split is not to be had here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from components.errors import DigestMismatchError
from components.types.dataset import Split
from components.types.training import TrainingTask

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class PreparedSplit:
    """One split; the features are read from the disk as they are used, and changes stay in memory."""

    features: Array
    """float32 of shape (n_rows, n_features)."""
    target: Array
    """int64 class index, or float32 standardised target, of shape (n_rows,)."""

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.target)


def train_split(task: TrainingTask) -> PreparedSplit:
    """Return the rows to learn from."""
    return _read(task, Split.TRAIN)


def validation_split(task: TrainingTask) -> PreparedSplit:
    """Return the rows that choose the epoch."""
    return _read(task, Split.VALIDATION)


def row_weights(task: TrainingTask, target: Array) -> Array | None:
    """Return each row's class weight, float32 of shape (n_rows,), or None when all classes weigh the same."""
    if not task.spec.classes or len(set(task.spec.class_weights)) == 1:
        return None
    weights: Array = np.asarray(task.spec.class_weights, dtype=np.float32)[target]
    return weights


def epoch_order(task: TrainingTask, epoch: int, rows: int) -> Array:
    """Return the order of the rows in one epoch (from 1).

    It depends on the seed and the epoch alone, so that a resumed training goes on exactly as it would have.
    """
    return np.random.default_rng([task.seed, epoch]).permutation(rows)


def _read(task: TrainingTask, split: Split) -> PreparedSplit:
    features = np.load(task.prepared_dir / f"{split}.features.npy", mmap_mode="c", allow_pickle=False)
    target = np.load(task.prepared_dir / f"{split}.target.npy", allow_pickle=False)
    expected = (task.spec.rows[split], task.spec.n_features)
    kind = np.int64 if task.spec.classes else np.float32
    found = (features.shape, features.dtype, target.shape, target.dtype)
    if found != (expected, np.float32, expected[:1], kind):
        raise DigestMismatchError(
            f"{task.prepared_dir}/{split}.features.npy has shape {features.shape} where prepared.json promises "
            f"{expected}; the files are not of one run: delete {task.prepared_dir} and prepare again"
        )
    return PreparedSplit(features, target)
