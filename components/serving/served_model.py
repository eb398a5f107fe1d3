"""One version in memory: its runtime, its signature, and what a request needs of both. Knows nothing of HTTP."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np

from components.errors import FaultError, SchemaError
from components.runtime.batch import neutral_rows
from components.runtime.elsewhere import noted_s
from components.runtime.protocol import PREDICTION, PROBABILITIES, ModelRuntime, RemoteRuntime, Stop, StoppableRuntime
from components.runtime.table import find_runtime
from components.serving.bulkhead import Bulkhead
from components.serving.input_plan import Batch, InputPlan
from components.serving.measurements import Measurements
from components.types.product import ProductRef, Signature
from components.types.release import ModelRef, PlacedModel

INLINE_S = 0.002
"""A prediction that should take less runs on the event loop: a thread would cost it 0.1 ms and help nobody."""

_WARM_ROWS = 256
_WAITING = 1_024
"""More than the gateway takes requests at once by default."""
_MACHINE_S = 0.1
"""How long a computation may stand still because others use the processor or the interpreter."""
_EXTREME = 1e15
"""No table has such numbers; past float32's range they turn into infinities inside a network."""


@dataclass
class _NeverHeard:
    """The stop of a runtime that cannot be stopped."""

    terminate: bool = False


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
        self.version_header = (b"x-model-version", self.version.encode())
        self.inline_rows = _inline_rows(runtime, self.plan)
        self.bulkhead = Bulkhead(f"predict-{placed.ref.model}", os.cpu_count() or 1, _WAITING)
        """Where its long predictions run, and those of requests that name it while it is not stable."""

    def make_stop(self) -> Stop:
        """Return the means to stop one prediction; a runtime that cannot be stopped does not hear it."""
        runtime = self.runtime
        return runtime.make_stop() if isinstance(runtime, StoppableRuntime) else _NeverHeard()

    def predict(self, batch: Batch, stop: Stop | None = None) -> Mapping[str, np.ndarray]:
        """Return the outputs for a batch.

        Raises:
            SchemaError: the batch is not what the product takes, or its numbers are too extreme for it.
            InvalidOutputError: the product's answer is not what its signature says.
            FaultError: the product failed, or was stopped.
        """
        try:
            if stop is None or type(stop) is _NeverHeard:
                return self.runtime.predict(batch.tensors)
            return cast("StoppableRuntime", self.runtime).predict_until_stopped(batch.tensors, stop)
        except FaultError as error:
            if (name := _extreme_input(batch.tensors)) is None:
                raise
            raise SchemaError(
                f"the model gives no finite answer, and input `{name}` has a value beyond ±{_EXTREME:g}; check its unit"
            ) from error


class Stopwatch:
    """Time a computation so that one on the event loop and one in a thread can be compared.

    A thread waits for the interpreter's lock as often as the loop is busy, which says nothing about the version that
    computes in it. So what counts is the thread's own processor time, in which runtimes compute, and what a runtime
    says that another process took for it; only a version that stands still for longer than a busy machine explains is
    timed by the clock on the wall.
    """

    __slots__ = ("_computed_s", "_wall_s")

    def __init__(self) -> None:
        """Start now, in the thread that computes."""
        self._wall_s = time.perf_counter()
        self._computed_s = time.thread_time() + noted_s()

    def seconds(self) -> float:
        """Return how long it took until now, asked in the thread that computed."""
        computed_s = time.thread_time() + noted_s() - self._computed_s
        wall_s = time.perf_counter() - self._wall_s
        return computed_s if wall_s - computed_s < _MACHINE_S else wall_s


class LoadStop:
    """Ends the loading of one version, where its runtime hears it."""

    def __init__(self) -> None:
        """Let it load."""
        self._runtime: object = None
        self._terminate = False

    @property
    def terminate(self) -> bool:
        """Whether loading is to end."""
        return self._terminate

    @terminate.setter
    def terminate(self, value: bool) -> None:
        self._terminate = value
        if value and isinstance(self._runtime, StoppableRuntime):
            self._runtime.halt()

    def watch(self, runtime: ModelRuntime) -> None:
        """Take the runtime that loads."""
        self._runtime = runtime


def load_served(placed: PlacedModel, stats: Measurements, stop: LoadStop | None = None) -> ServedModel:
    """Return a version, its bytes checked against its digest, loaded and warm.

    Raises:
        DigestMismatchError: the bytes are not those that were promised.
        FaultError: the product cannot be loaded, or `stop` ended it.
        UnknownNameError: there is no such runtime.
    """
    runtime = find_runtime(placed.runtime)()
    if stop is not None:
        stop.watch(runtime)
    signature = runtime.load(ProductRef(placed.directory, placed.ref.digest, placed.runtime))
    return ServedModel(placed, runtime, signature, stats)


def _inline_rows(runtime: ModelRuntime, plan: InputPlan) -> int:
    """Return how many rows fit into `INLINE_S`, from times measured while warming up."""
    if isinstance(runtime, RemoteRuntime):
        return 0  # the event loop waits for no other process
    one_s = _fastest_s(runtime, neutral_rows(plan.inputs, 1))
    if one_s > INLINE_S:
        return 0
    many_s = _fastest_s(runtime, neutral_rows(plan.inputs, _WARM_ROWS))
    per_row_s = max((many_s - one_s) / (_WARM_ROWS - 1), 1e-9)
    return int(1 + (INLINE_S - one_s) / per_row_s)


def _fastest_s(runtime: ModelRuntime, tensors: Mapping[str, np.ndarray]) -> float:
    times = []
    for _ in range(3):
        started = time.perf_counter()
        runtime.predict(tensors)
        times.append(time.perf_counter() - started)
    return min(times)


def _extreme_input(tensors: Mapping[str, np.ndarray]) -> str | None:
    for name, values in tensors.items():
        if values.dtype.kind == "f" and np.nanmax(np.abs(values), initial=0) > _EXTREME:
            return name
    return None
