"""The rows of an epoch in blocks of a bounded size: of a memory-mapped matrix, no more than a block is copied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from components.training.core.prepared_data import PreparedSplit, epoch_order, row_weights
from components.types.training import TrainingTask

Array = np.ndarray[Any, Any]
BLOCK_BYTES = 16 * 2**20


def training_blocks(
    task: TrainingTask, split: PreparedSplit, epoch: int, batch_rows: int
) -> Iterator[tuple[Array, ...]]:
    """Give the rows of `split` in the order of `epoch`, as (features, target) or (features, target, weights).

    Every block but the last is a multiple of `batch_rows` long; the arrays are new and writable.
    """
    order = epoch_order(task, epoch, split.rows)
    for start, stop in _bounds(split, batch_rows):
        rows = order[start:stop]
        target = split.target[rows]
        weights = row_weights(task, target)
        yield (split.features[rows], target) if weights is None else (split.features[rows], target, weights)


def feature_blocks(split: PreparedSplit) -> Iterator[Array]:
    """Give the features of `split` in their own order."""
    for start, stop in _bounds(split, 1):
        yield np.ascontiguousarray(split.features[start:stop])


def _bounds(split: PreparedSplit, batch_rows: int) -> Iterator[tuple[int, int]]:
    row_bytes = split.features.itemsize * split.features.shape[1]
    step = max(BLOCK_BYTES // row_bytes // batch_rows, 1) * batch_rows
    for start in range(0, split.rows, step):
        yield start, min(start + step, split.rows)
