"""One version in memory: its runtime, its signature, and what a request needs of both. Knows nothing of HTTP."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from components.errors import FaultError, SchemaError
from components.runtime.batch import DTYPES
from components.runtime.protocol import PREDICTION, PROBABILITIES, ModelRuntime
from components.runtime.table import find_runtime
from components.serving.input_plan import Batch, InputPlan
from components.serving.measurements import Measurements
from components.types.dataset import ColumnType
from components.types.product import ProductRef, Signature
from components.types.release import ModelRef, PlacedModel

INLINE_S = 0.002
"""A prediction that should take less runs on the event loop: a thread would cost it 0.1 ms and help nobody."""

_WARM_ROWS = 256
_EXTREME = 1e15
"""No table has such numbers; past float32's range they turn into infinities inside a network."""


class ServedModel:
    """One pinned version, loaded and warm; immutable once made."""

    def __init__(self, placed: PlacedModel, runtime: ModelRuntime, signature: Signature, stats: Measurements) -> None:
        self.placed = placed
        self.ref: ModelRef = placed.ref
        self.signature = signature
        self.runtime = runtime
        self.plan = InputPlan(signature)
        self.stats = stats
        self.output_names = (PREDICTION, PROBABILITIES) if signature.classes else (PREDICTION,)
        self.version = str(placed.ref.version)
        self.inline_rows = _inline_rows(runtime, self.plan)

    def predict(self, batch: Batch) -> Mapping[str, np.ndarray]:
        """Return the outputs for a batch.

        Raises:
            SchemaError: the batch is not what the product takes, or its numbers are too extreme for it.
            FaultError: the product failed.
        """
        try:
            return self.runtime.predict(batch.tensors)
        except FaultError as error:
            if (name := _extreme_input(batch.tensors)) is None:
                raise
            raise SchemaError(
                f"the model gives no finite answer, and input `{name}` has a value beyond ±{_EXTREME:g}; check its unit"
            ) from error


def load_served(placed: PlacedModel, stats: Measurements) -> ServedModel:
    """Return a version, its bytes checked against its digest, loaded and warm.

    Raises:
        DigestMismatchError: the bytes are not those that were promised.
        FaultError: the product cannot be loaded.
        UnknownNameError: there is no such runtime.
    """
    runtime = find_runtime(placed.runtime)()
    signature = runtime.load(ProductRef(placed.directory, placed.ref.digest, placed.runtime))
    return ServedModel(placed, runtime, signature, stats)


def _inline_rows(runtime: ModelRuntime, plan: InputPlan) -> int:
    """Return how many rows fit into `INLINE_S`, from times measured while warming up."""
    one_s = _fastest_s(runtime, _neutral_rows(plan, 1))
    if one_s > INLINE_S:
        return 0
    many_s = _fastest_s(runtime, _neutral_rows(plan, _WARM_ROWS))
    per_row_s = max((many_s - one_s) / (_WARM_ROWS - 1), 1e-9)
    return int(1 + (INLINE_S - one_s) / per_row_s)


def _fastest_s(runtime: ModelRuntime, tensors: Mapping[str, np.ndarray]) -> float:
    times = []
    for _ in range(3):
        started = time.perf_counter()
        runtime.predict(tensors)
        times.append(time.perf_counter() - started)
    return min(times)


def _neutral_rows(plan: InputPlan, rows: int) -> dict[str, np.ndarray]:
    return {
        spec.name: np.full((rows, *spec.shape), "" if spec.type is ColumnType.STRING else 0, DTYPES[spec.type])
        for spec in plan.inputs
    }


def _extreme_input(tensors: Mapping[str, np.ndarray]) -> str | None:
    for name, values in tensors.items():
        if values.dtype.kind == "f" and np.nanmax(np.abs(values), initial=0) > _EXTREME:
            return name
    return None
