"""Predict a whole file, batch by batch. Knows no HTTP, and no part of the gateway's process imports it.

CSV, Parquet and JSON-lines in and out, in any combination, told apart by their endings. Written are the columns that
the product does not use (an id, a label), as they are, then ``prediction`` and for classification one column
``probability_<class>`` for each class. Rows in messages count from 1, a CSV's header not among them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from components.errors import FaultError, SchemaError, SourceError
from components.runtime.protocol import PREDICTION, PROBABILITIES, ModelRuntime
from components.runtime.table import find_runtime
from components.runtime.tensors import input_tensors
from components.serving.file_readers import READERS
from components.serving.file_writers import WRITERS, Writer
from components.types.product import ProductRef, Signature

BATCH_ROWS = 65_536

Scoring = Callable[[Iterator[tuple[Any, int]]], Iterator[Any]]
"""From batches, each with the number of rows before it, to what `Scorer.score` says of each, in the same order."""


def predict_file(
    product: ProductRef,
    source: Path,
    target: Path,
    *,
    batch_rows: int = BATCH_ROWS,
    progress: Callable[[int], None] = lambda _: None,
    elsewhere: Scoring | None = None,
) -> int:
    """Predict every row of `source`, write `target` whole or not at all, and return the number of rows.

    Args:
        product: What predicts; its bytes are checked against its digest.
        source: A CSV, Parquet or JSON-lines file with at least the product's columns.
        target: Where the predictions go; a file there is replaced once all rows are predicted.
        batch_rows: How many rows are in memory at once, at most.
        progress: Called after every batch with the rows so far.
        elsewhere: Predicts the batches, in their order, as a `Scorer` would; one here does if not given.

    Raises:
        SourceError: the source cannot be read, or an ending is none of those known.
        SchemaError: a column is missing, or a value is not of its column's type; the row is named.
        DigestMismatchError: the product's bytes are not those that were promised.
    """
    read, write = _by_ending(source, READERS), _by_ending(target, WRITERS)
    if not source.is_file():
        raise SourceError(f"{source} is no file; give a table with the model's columns")
    if target.exists() and target.samefile(source):
        raise SourceError(f"{target} is also the file that is read; choose another name for the predictions")
    scorer = Scorer(product, source)
    scoring = elsewhere or scorer.score_all
    rows = 0
    with _whole_file(target) as temporary:
        writer: Writer | None = None
        try:
            for predicted in scoring(_placed(read(source, scorer.signature, batch_rows))):
                writer = writer or write(temporary, predicted.schema)
                writer.write(_conformed(predicted, writer.schema, source))
                rows += predicted.num_rows
                progress(rows)
        finally:
            if writer is not None:
                writer.close()
        if not rows:
            raise SchemaError(f"{source} has no rows; there is nothing to predict")
    return rows


class Scorer:
    """A loaded product that predicts one batch after the other."""

    def __init__(self, product: ProductRef, source: Path) -> None:
        """Load `product`.

        Args:
            product: Its bytes are checked against its digest.
            source: Where the batches come from, for messages.

        Raises:
            DigestMismatchError: the product's bytes are not those that were promised.
        """
        self._runtime = find_runtime(product.runtime)()
        self._source = source
        self.signature = self._runtime.load(product)

    def score(self, batch: Any, rows_before: int) -> Any:
        """Return the batch's other columns and what the product says of it, as a `pyarrow.Table`.

        Raises:
            SchemaError: a column is missing, or a value is not of its column's type; the row is named.
            FaultError: the model failed.
        """
        return _predicted(self._runtime, self.signature, batch, self._source, rows_before)

    def score_all(self, batches: Iterator[tuple[Any, int]]) -> Iterator[Any]:
        """Predict the batches one after the other.

        Raises:
            SchemaError: as `score` says.
            FaultError: the model failed.
        """
        for batch, rows_before in batches:
            yield self.score(batch, rows_before)


def _placed(batches: Iterator[Any]) -> Iterator[tuple[Any, int]]:
    """Give each batch with the number of rows before it."""
    rows = 0
    for batch in batches:
        yield batch, rows
        rows += batch.num_rows


def _by_ending(path: Path, known: Mapping[str, Any]) -> Any:
    if (found := known.get(path.suffix.lower())) is None:
        raise SourceError(f"{path} ends in `{path.suffix}`; known are {', '.join(sorted(known))}")
    return found


def _predicted(runtime: ModelRuntime, signature: Signature, batch: Any, source: Path, rows_before: int) -> Any:
    """Return the batch's other columns and what the product says of it."""
    try:
        outputs = runtime.predict(input_tensors(batch, signature.inputs, first_row=rows_before + 1))
    except SchemaError as error:
        raise SchemaError(f"{source}: {error}") from error
    except FaultError as error:
        last = rows_before + batch.num_rows
        raise FaultError(f"{source}: the model failed within rows {rows_before + 1} to {last}: {error}") from error
    used = {column for spec in signature.inputs for column in spec.columns}
    columns = {name: batch.column(name) for name in batch.schema.names if name not in used}
    for name, values in _output_columns(outputs, signature).items():
        if name in columns:
            raise SchemaError(f"{source} has a column `{name}`, which the prediction would replace; rename it")
        columns[name] = values
    return pa.table(columns)


def _output_columns(outputs: Mapping[str, np.ndarray], signature: Signature) -> dict[str, Any]:
    prediction = outputs[PREDICTION]
    columns = {PREDICTION: pa.array(prediction.tolist() if prediction.dtype.kind == "O" else prediction)}
    for place, label in enumerate(signature.classes):
        columns[f"probability_{label}"] = pa.array(np.ascontiguousarray(outputs[PROBABILITIES][:, place]))
    return columns


def _conformed(table: Any, schema: Any, source: Path) -> Any:
    """Return a batch in the first batch's types; only JSON-lines can have others."""
    if table.schema.equals(schema):
        return table
    if table.schema.names != schema.names:
        changed = sorted(set(table.schema.names) ^ set(schema.names))
        raise SchemaError(f"{source}: column `{changed[0]}` is not in every row")
    try:
        return table.cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SchemaError(f"{source}: a column that is carried along changes its type: {error}") from error


@contextmanager
def _whole_file(target: Path) -> Iterator[Path]:
    """Give a name beside `target`, and put the file there in its place when the block ends without an error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.stem}.{os.getpid()}.tmp{target.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
