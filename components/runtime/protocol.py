"""The boundary behind which a product predicts. Knows no kind of runtime and no transport."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from components.types.product import ProductRef, Signature

Tensor = NDArray[Any]
Batch = Mapping[str, Tensor]
"""One array per input or output, by name; the first dimension is the row."""

PREDICTION = "prediction"
PROBABILITIES = "probabilities"


class ModelRuntime(Protocol):
    """Hold one product in memory and predict with it; `predict` may be called from many threads at once."""

    def load(self, product: ProductRef) -> Signature:
        """Check the product's bytes, load them, predict one row to warm up, and return the signature.

        Raises:
            DigestMismatchError: the bytes are not those that were promised.
            FaultError: the product cannot be loaded, or is not what its signature says.
        """
        ...

    def predict(self, batch: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Return ``prediction``, and for classification ``probabilities``, of each row of `batch`.

        Raises:
            SchemaError: the batch is not what the signature asks for.
            FaultError: nothing is loaded, or the product failed.
        """
        ...


class Stop(Protocol):
    """A wish that one prediction ends early; set from another thread."""

    terminate: bool


@runtime_checkable
class StoppableRuntime(Protocol):
    """What a runtime may offer beside `ModelRuntime`: to end a prediction that hangs."""

    def make_stop(self) -> Stop:
        """Return the means to stop one prediction."""
        ...

    def halt(self) -> None:
        """End every prediction that has no stop of its own, now and from now on, loading included."""
        ...

    def predict_until_stopped(self, batch: Batch, stop: Stop) -> Batch:
        """Predict as `ModelRuntime.predict` does, until `stop` says to end.

        Raises:
            SchemaError: the batch is not what the signature asks for.
            FaultError: nothing is loaded, the product failed, or it was stopped.
        """
        ...


@runtime_checkable
class RemoteRuntime(Protocol):
    """What a runtime has beside `ModelRuntime` when its predictions wait for another process: ask it in threads only.

    It tells `components.runtime.elsewhere` how long that process computed.
    """

    computes_elsewhere: bool
