"""Predict a prepared split through a product, in batches, by the runtime that will serve it. Knows no metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.errors import DigestMismatchError, SchemaError
from components.evaluation.record.scored import Scored
from components.runtime.protocol import PREDICTION, PROBABILITIES, ModelRuntime
from components.runtime.table import find_runtime
from components.runtime.tensors import input_tensors
from components.types import record
from components.types.dataset import Split, Task
from components.types.product import ProductRef, Signature
from components.types.training import PREPARED_FILE, PreparedSpec

BATCH_ROWS = 4096


@dataclass(frozen=True)
class SplitRows:
    """A split with what the product said of it; `table` holds the id, the label and the columns that were asked for."""

    scored: Scored
    table: pa.Table


def read_prepared(prepared: Path) -> PreparedSpec:
    """Return what `prepare` wrote.

    Raises:
        DigestMismatchError: nothing is there, or it is damaged.
    """
    try:
        return record.read(PreparedSpec, prepared / PREPARED_FILE)
    except (OSError, ValueError) as error:
        raise DigestMismatchError(f"{prepared / PREPARED_FILE} cannot be read ({error}); run prepare again") from error


def load_product(product: ProductRef, spec: PreparedSpec) -> tuple[ModelRuntime, Signature]:
    """Return the product, loaded, if it predicts what the prepared data holds.

    Raises:
        DigestMismatchError: its bytes are not those that were promised.
        SchemaError: it predicts another task or other classes.
    """
    runtime = find_runtime(product.runtime)()
    signature = runtime.load(product)
    if signature.task is not spec.task:
        raise SchemaError(f"the product is a {signature.task.value} model where the data is {spec.task.value}")
    moved = signature.task is Task.BINARY and signature.classes != spec.classes  # another positive class
    if moved or set(signature.classes) != set(spec.classes):
        raise SchemaError(f"the product knows the classes {signature.classes}, the data has {spec.classes}")
    return runtime, signature


def predict_split(
    product: ProductRef, prepared: Path, split: Split, keep: Sequence[str] = (), spec: PreparedSpec | None = None
) -> SplitRows:
    """Return a split of the prepared data with the product's predictions.

    Args:
        product: What predicts.
        prepared: The folder that `prepare` wrote.
        split: Which rows.
        keep: Columns to return beside id and label.
        spec: What `prepare` wrote, if it was read before.

    Raises:
        DigestMismatchError: the product's bytes are not those that were promised, or the split is missing.
        SchemaError: the product does not fit the data, or the label holds a value that no class is.
    """
    spec = spec or read_prepared(prepared)
    runtime, signature = load_product(product, spec)
    path = prepared / f"{split.value}.parquet"
    if not path.is_file():
        raise DigestMismatchError(f"{path} is missing; run prepare again")
    with pq.ParquetFile(path) as file:
        _require_columns(path, file.schema_arrow.names, signature, keep)
        wanted = list(dict.fromkeys([spec.id_column, spec.label_column, *keep]))
        parts, outputs = [], []
        for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=_columns(signature, wanted)):
            parts.append(batch.select(wanted))
            outputs.append(runtime.predict(input_tensors(batch, signature.inputs)))
    if not outputs:
        raise SchemaError(f"{path} has no rows; nothing can be evaluated on it")
    table = pa.Table.from_batches(parts).combine_chunks()
    joined = {name: np.concatenate([each[name] for each in outputs]) for name in outputs[0]}
    return SplitRows(_scored(table.column(spec.label_column), joined, signature, path), table)


def _columns(signature: Signature, wanted: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([*wanted, *(name for spec in signature.inputs for name in spec.columns)]))


def _require_columns(path: Path, found: Sequence[str], signature: Signature, keep: Sequence[str]) -> None:
    for name in _columns(signature, keep):
        if name not in found:
            raise SchemaError(f"{path} has no column `{name}`; it has: {', '.join(found)}")


def _scored(labels: pa.ChunkedArray, outputs: dict[str, Any], signature: Signature, path: Path) -> Scored:
    if labels.null_count:
        raise SchemaError(f"{path}: {labels.null_count} rows have no label; drop them before they are prepared")
    if not signature.task.is_classification:
        label = labels.to_numpy().astype(np.float64)
        return Scored(signature.task, (), label, outputs[PREDICTION].astype(np.float64), np.empty((len(label), 0)))
    place = {value: index for index, value in enumerate(signature.classes)}
    if unknown := sorted({str(value) for value in labels.unique().to_pylist() if value not in place}):
        raise SchemaError(
            f"{path}: label `{unknown[0]}` is no class of the product ({', '.join(map(str, signature.classes))}); "
            "prepare and train again"
        )
    label = np.array([place[value] for value in labels.to_pylist()], dtype=np.int64)
    predicted = np.array([place[value] for value in outputs[PREDICTION].tolist()], dtype=np.int64)
    return Scored(signature.task, signature.classes, label, predicted, outputs[PROBABILITIES].astype(np.float64))
