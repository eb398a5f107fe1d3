"""The boundary behind which a product predicts. Knows no kind of runtime and no transport."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

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
