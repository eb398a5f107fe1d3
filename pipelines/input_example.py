"""A few real rows in the shape of a product's inputs, for the registry and for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.types.dataset import ColumnType
from components.types.product import InputSpec, Signature

ROWS = 3


def input_example(signature: Signature, prepared_dir: Path, split: str = "train") -> dict[str, list[Any]]:
    """Return the first rows of a split by input; None where a value is missing, nested lists for images."""
    rows = first_rows(prepared_dir / f"{split}.parquet", ROWS)
    return {spec.name: [input_value(spec, row) for row in rows] for spec in signature.inputs}


def first_rows(path: Path, count: int) -> list[dict[str, Any]]:
    """Return the first rows of a Parquet file."""
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = next(pq.ParquetFile(path).iter_batches(batch_size=count)).to_pylist()
    return rows


def input_value(spec: InputSpec, row: Mapping[str, Any]) -> Any:
    """Return one row's value of one input: a scalar or None, or an image as nested lists."""
    values = [row[name] for name in spec.columns]
    if spec.type is ColumnType.FLOAT64:
        values = [None if value is None else float(value) for value in values]
    return _nested(values, spec.shape) if spec.shape else values[0]


def _nested(values: list[Any], shape: tuple[int, ...]) -> list[Any]:
    if len(shape) == 1:
        return values
    step = len(values) // shape[0]
    return [_nested(values[start : start + step], shape[1:]) for start in range(0, len(values), step)]
