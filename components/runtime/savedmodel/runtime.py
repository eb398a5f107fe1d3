"""Serve a product's SavedModel from a process of its own. Knows no transport and imports no TensorFlow."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping

import numpy as np

from components.errors import FaultError, SchemaError
from components.runtime import elsewhere
from components.runtime.batch import BatchCheck, CheckedBatch, check_output, neutral_rows
from components.runtime.protocol import Batch, Stop
from components.runtime.savedmodel import frames
from components.runtime.savedmodel.interface import check_interface
from components.runtime.savedmodel.keeper import Keeper, Wish
from components.runtime.savedmodel.names import input_key
from components.types.product import ProductRef, Signature

MOST_AT_ONCE = 8


class SavedModelRuntime:
    """Predict with TensorFlow on the CPU, in another process that is replaced when it dies or hangs."""

    computes_elsewhere = True
    """Its predictions wait for another process."""

    def __init__(self, threads: int = 1) -> None:
        """Take how many threads one prediction may use."""
        self._threads = threads
        self._unstopped: Stop = Wish()
        self._loaded: _Loaded | None = None

    @property
    def pid(self) -> int | None:
        """The process that predicts; None while there is none."""
        return None if self._loaded is None else self._loaded.keeper.pid

    def load(self, product: ProductRef) -> Signature:
        """Check the product's bytes, have them opened, predict one row to warm up, and return the signature.

        The first product in a process waits for TensorFlow to be imported, which takes seconds. A product that does not
        load leaves the one before in place.

        Raises:
            DigestMismatchError: the bytes are not those that were promised.
            FaultError: the product cannot be loaded, or is not what its signature says.
        """
        loaded = _Loaded(product, self._threads, self._unstopped)
        loaded.predict(neutral_rows(loaded.signature.inputs, 1), 1, self._unstopped)
        self._loaded = loaded
        return loaded.signature

    def predict(self, batch: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Return ``prediction``, and for classification ``probabilities``, of each row of `batch`.

        Raises:
            SchemaError: the batch is not what the signature asks for.
            FaultError: nothing is loaded, the graph failed, or its process died.
        """
        return self.predict_until_stopped(batch, self._unstopped)

    def make_stop(self) -> Stop:
        """Return the means to stop one prediction; one that does not end soon after takes its process with it."""
        return Wish()

    def halt(self) -> None:
        """End every prediction that has no stop of its own, now and from now on, loading included."""
        self._unstopped.terminate = True

    def predict_until_stopped(self, batch: Batch, stop: Stop) -> Batch:
        """Return what `predict` does, until `stop` says to end.

        Raises:
            SchemaError: the batch is not what the signature asks for.
            FaultError: nothing is loaded, the graph failed, its process died, or it was stopped.
        """
        loaded = self._loaded
        if loaded is None:
            raise FaultError("no product is loaded; call `load` first")
        n_rows = batch.rows if type(batch) is CheckedBatch else loaded.check(batch)
        return loaded.predict(batch, n_rows, stop)

    def close(self) -> None:
        """End the process now; it ends by itself with the runtime, and with this process."""
        if self._loaded is not None:
            self._loaded.keeper.close()


class _Loaded:
    """One product in its process, which ends when nobody holds this any more."""

    def __init__(self, product: ProductRef, threads: int, stop: Stop) -> None:
        self.keeper = Keeper(product, threads, lanes=min(max(os.cpu_count() or 1, 2), MOST_AT_ONCE))
        weakref.finalize(self, self.keeper.close)
        opened = self.keeper.start(stop)
        check_interface(opened.described, opened.signature, product.directory)
        self.signature = opened.signature
        self.check = BatchCheck(opened.signature.inputs)

    def predict(self, batch: Batch, n_rows: int, stop: Stop) -> Batch:
        header, outputs = self.keeper.exchange(_frame(batch), stop)
        if "error" in header:
            raise FaultError(f"TensorFlow cannot predict this batch: {header['error']}")
        elsewhere.note(float(header["seconds"]))
        try:
            found = {name: frames.texts(each) if each.dtype.kind == "O" else each for name, each in outputs.items()}
        except UnicodeDecodeError as error:
            raise FaultError(f"the product gave a label that is no text ({error.reason}); train again") from error
        check_output(found, self.signature, n_rows)
        return found


def _frame(batch: Batch) -> bytes:
    try:
        return frames.pack({}, {input_key(name): array for name, array in batch.items()})
    except frames.FrameError as error:
        raise SchemaError(str(error)) from error
    except UnicodeEncodeError as error:
        raise SchemaError(f"a string has half of a character pair in it ({error.reason}); give whole text") from error
