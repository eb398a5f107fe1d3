"""A runtime without a file or a framework: the public stand-in for tests and examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from components.errors import DigestMismatchError, FaultError
from components.runtime.batch import BatchCheck, check_output
from components.runtime.protocol import Batch
from components.types.product import ProductRef, Signature


class MemoryRuntime:
    """Predict with a function, under the same checks as a real runtime."""

    def __init__(self, digest: str, signature: Signature, respond: Callable[[Batch], Batch]) -> None:
        """Take the one product that can be loaded, and what it predicts."""
        self._digest = digest
        self._signature = signature
        self._respond = respond
        self._check = BatchCheck(signature.inputs)
        self._loaded = False

    def load(self, product: ProductRef) -> Signature:
        """Return the signature, if `product` is the one that was given.

        Raises:
            DigestMismatchError: it is another.
        """
        if product.digest != self._digest:
            raise DigestMismatchError(f"digest {self._digest[:12]} where {product.digest[:12]} was promised")
        self._loaded = True
        return self._signature

    def predict(self, batch: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Return what the function gives for `batch`.

        Raises:
            SchemaError: the batch is not what the signature asks for.
            FaultError: nothing is loaded, or the function gave something else than the signature says.
        """
        if not self._loaded:
            raise FaultError("no product is loaded; call `load` first")
        n_rows = self._check(batch)
        outputs = self._respond(batch)
        check_output(outputs, self._signature, n_rows)
        return outputs
