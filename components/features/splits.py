"""Put every row on one of three sides: train, validation or test. Knows no feature.

By id, a row's side depends on its id alone, so that it never changes as data grows. By time, the newest rows are the
test. Stratified, every class has the same shares, and rows may change sides as data grows.
"""

from __future__ import annotations

from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from components.errors import ConfigError, SchemaError
from components.features.config import IdSplit, StratifiedSplit, TimeSplit
from components.features.table import DatasetTable
from components.runtime.arrow_arrays import numbers
from components.stage.config import nearest
from components.types.dataset import ColumnType, Split

SIDES = (Split.TRAIN, Split.VALIDATION, Split.TEST)
"""What the numbers in a side array stand for."""

Sides = NDArray[np.int8]
_TRAIN, _VALIDATION, _TEST = range(3)


def assign_sides(
    split: IdSplit | TimeSplit | StratifiedSplit, table: DatasetTable, strata: NDArray[Any], where: str
) -> Sides:
    """Return the side of each row, as an index into `SIDES`.

    Args:
        split: How to split.
        table: The rows.
        strata: The stratum of each row, for a stratified split.
        where: The section's place in the configuration, for messages.

    Raises:
        ConfigError: the column to split by cannot be used.
        SchemaError: a side is empty, or a value to split by is missing.
    """
    if isinstance(split, TimeSplit):
        sides = _by_time(split, _times(split, table, where))
    elif isinstance(split, StratifiedSplit):
        sides = _stratified(split, _hashed_ids(table, split.seed), strata)
    else:
        sides = _by_hash(split, _hashed_ids(table, seed=0))
    counts = np.bincount(sides, minlength=len(SIDES))
    if not counts.all():
        empty = SIDES[int(np.argmin(counts))].value
        raise SchemaError(
            f"{table.path}: the {empty} split of {len(sides)} rows is empty; "
            f"bring more rows or change the shares under `{where}.split`"
        )
    return sides


def _by_hash(split: IdSplit, hashes: NDArray[np.uint64]) -> Sides:
    position = hashes.astype(np.float64) / 2.0**64
    # test first: another share for validation leaves the test rows where they are
    limits = [split.test, split.test + split.validation]
    return np.array([_TEST, _VALIDATION, _TRAIN], np.int8)[np.searchsorted(limits, position, side="right")]


def _by_time(split: TimeSplit, times: NDArray[Any]) -> Sides:
    ordered = np.sort(times)
    n_rows = len(times)
    first_validation = ordered[min(round(n_rows * (1 - split.validation - split.test)), n_rows - 1)]
    first_test = ordered[min(round(n_rows * (1 - split.test)), n_rows - 1)]
    sides = np.full(n_rows, _TRAIN, np.int8)
    sides[times >= first_validation] = _VALIDATION
    sides[times >= first_test] = _TEST
    return sides


def _stratified(split: StratifiedSplit, hashes: NDArray[np.uint64], strata: NDArray[Any]) -> Sides:
    order = np.lexsort((hashes, strata))
    sizes = np.unique_counts(strata).counts
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    size_of_row = np.repeat(sizes, sizes)
    rank = np.arange(len(strata)) - starts
    sides = np.full(len(strata), _TRAIN, np.int8)
    n_test = np.round(size_of_row * split.test)
    n_held_out = np.round(size_of_row * (split.test + split.validation))
    sides[order[rank < n_held_out]] = _VALIDATION
    sides[order[rank < n_test]] = _TEST
    return sides


def _times(split: TimeSplit, table: DatasetTable, where: str) -> NDArray[Any]:
    types = {each.name: each.type for each in table.manifest.columns}
    if split.column not in types:
        raise ConfigError(f"{where}.split.column: there is no column `{split.column}`{nearest(split.column, types)}")
    if types[split.column] not in (ColumnType.TIMESTAMP, ColumnType.INT64, ColumnType.FLOAT64):
        found = types[split.column].value
        raise ConfigError(f"{where}.split.column: `{split.column}` is {found}, expected a timestamp or a number")
    times = table.column(split.column)
    return numbers(times.cast(pa.int64()) if pa.types.is_timestamp(times.type) else times)


def _hashed_ids(table: DatasetTable, seed: int) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each row's id as text, so that 7 and "7" are one id."""
    manifest = table.manifest
    kind = next(each.type for each in manifest.columns if each.name == manifest.id_column)
    if kind not in (ColumnType.INT64, ColumnType.STRING):
        raise ConfigError(f"{table.path}: id `{manifest.id_column}` is {kind.value}, expected int64 or string")
    hashes = np.empty(manifest.rows, np.uint64)
    for first_row, batch in table.batches([manifest.id_column]):
        ids = batch.column(0)
        if ids.null_count:
            raise SchemaError(f"{table.path}: id `{manifest.id_column}` is missing in some rows; every row needs one")
        texts = pc.cast(pc.cast(ids, pa.string()), pa.binary()).to_pylist()
        hashes[first_row : first_row + len(texts)] = np.fromiter(map(crc32, texts), np.uint64, len(texts))
    return _mix(hashes + np.uint64(seed % 2**31) * np.uint64(2**32))


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread values evenly over 64 bits: the finalizer of SplitMix64 (Steele, Lea and Flood 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
