"""Real rows as requests: from a prepared split to the bodies that a client would send. Sends nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from components.errors import UnknownNameError
from components.types import record
from components.types.dataset import ColumnType
from components.types.product import SIGNATURE_FILE, Signature
from components.types.training import PREPARED_FILE, PreparedSpec
from pipelines.input_example import input_value
from pipelines.state import CHECKOUTS

DATATYPES: Mapping[ColumnType, str] = {
    ColumnType.FLOAT64: "FP64",
    ColumnType.INT64: "INT64",
    ColumnType.BOOL: "BOOL",
    ColumnType.STRING: "BYTES",
}
"""The Open Inference Protocol's names."""


@dataclass(frozen=True)
class RequestRow:
    """One row of a table as a request."""

    body: bytes
    label: Any
    """The true label, or None where the table has none."""


def split_path(model: str, split: str, root: Path) -> Path:
    """Return where a prepared split stands: in the project, or where the last scheduled run of the model prepared it.

    Raises:
        UnknownNameError: it is not there; the message says what makes it.
    """
    prepared = Path("out") / model / "prepared" / f"{split}.parquet"
    path = root / prepared
    if not path.is_file():
        scheduled = (root / CHECKOUTS).glob(f"*/{model}/{prepared}")
        path = max(scheduled, key=lambda each: each.parents[3].stat().st_mtime, default=path)
    if not path.is_file():
        raise UnknownNameError(f"{path} is missing, so there are no real rows to send; `towpath run {model}` makes it")
    return path


def read_signature(directory: Path) -> Signature:
    """Return a stored product's signature."""
    return record.read(Signature, directory / SIGNATURE_FILE)


def split_rows(model: str, split: str, root: Path) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield the rows of a prepared split, each with its true label, None where the table has none.

    Raises:
        UnknownNameError: the split is not there.
    """
    import pyarrow.parquet as pq

    path = split_path(model, split, root)
    label = record.read(PreparedSpec, path.with_name(PREPARED_FILE)).label_column
    for batch in pq.ParquetFile(path).iter_batches(batch_size=1_000):
        for row in batch.to_pylist():
            yield row, row.get(label)


def request_rows(model: str, signature: Signature, split: str, root: Path, most: int | None = None) -> list[RequestRow]:
    """Return the first rows of a prepared split as requests.

    Raises:
        UnknownNameError: the split is not there, or holds no row.
    """
    rows = islice(split_rows(model, split, root), most)
    made = [RequestRow(request_body(signature, row), label) for row, label in rows]
    if not made:
        raise UnknownNameError(f"split `{split}` of {model} has no rows; `towpath run {model}` makes it anew")
    return made


def request_body(signature: Signature, row: Mapping[str, Any]) -> bytes:
    """Return one row as the body of an inference request."""
    inputs = [
        {
            "name": spec.name,
            "shape": [1, *spec.shape],
            "datatype": DATATYPES[spec.type],
            "data": [input_value(spec, row)],
        }
        for spec in signature.inputs
    ]
    return json.dumps({"inputs": inputs}).encode()


def cycled(rows: Sequence[RequestRow], count: int) -> list[RequestRow]:
    """Return `count` rows, beginning again where they end."""
    return [rows[index % len(rows)] for index in range(count)]
