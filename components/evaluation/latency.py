"""Measure how long a product takes, now and on this machine, in process and on real rows. Knows no bound."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from components.errors import SchemaError
from components.evaluation.gates.evidence import Latency
from components.evaluation.record.predict import load_product, read_prepared
from components.runtime.protocol import Batch, ModelRuntime
from components.runtime.tensors import input_tensors
from components.types.dataset import Split
from components.types.product import ProductRef

BATCH_ROWS = 256
_ROW_CALLS, _BATCH_CALLS, _WARM_UP_CALLS = 300, 40, 20


def measure_latency(product: ProductRef, prepared: Path) -> Latency:
    """Return the time of one row and of `BATCH_ROWS` rows of the test split, after a warm-up; about a second at most.

    Each call takes other rows; a split with fewer rows than a batch is repeated to fill one.

    Raises:
        DigestMismatchError: the product's bytes are not those that were promised.
        SchemaError: the product does not fit the data.
    """
    runtime, signature = load_product(product, read_prepared(prepared))
    with pq.ParquetFile(prepared / f"{Split.TEST.value}.parquet") as file:
        rows = next(file.iter_batches(batch_size=_ROW_CALLS), None)
    if rows is None or rows.num_rows == 0:
        raise SchemaError(f"{prepared} has no rows in the test split; the latency cannot be measured")
    tensors = input_tensors(rows, signature.inputs)
    singles = [_pick(tensors, np.array([index % rows.num_rows])) for index in range(_ROW_CALLS)]
    batches = [_pick(tensors, (np.arange(BATCH_ROWS) + shift) % rows.num_rows) for shift in range(_BATCH_CALLS)]
    row_p50_ms, row_p95_ms = times_ms(runtime, singles)
    batch_p50_ms, batch_p95_ms = times_ms(runtime, batches)
    return Latency(
        product_digest=product.digest,
        row_p50_ms=row_p50_ms,
        row_p95_ms=row_p95_ms,
        batch_p50_ms=batch_p50_ms,
        batch_p95_ms=batch_p95_ms,
        batch_rows=BATCH_ROWS,
        threads=1,
    )


def _pick(tensors: Batch, rows: np.ndarray) -> Batch:
    return {name: np.ascontiguousarray(array[rows]) for name, array in tensors.items()}


def times_ms(runtime: ModelRuntime, batches: list[Batch]) -> tuple[float, float]:
    """Return the median and the 95th percentile of one call's time, after some calls that are not counted."""
    for batch in batches[:_WARM_UP_CALLS]:
        runtime.predict(batch)
    measured_ms = []
    for batch in batches:
        started = time.perf_counter_ns()
        runtime.predict(batch)
        measured_ms.append((time.perf_counter_ns() - started) / 1e6)
    median, high = np.quantile(measured_ms, [0.5, 0.95])
    return float(median), float(high)
