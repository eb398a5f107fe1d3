"""Keep one product served: a server that dies or hangs is replaced. Knows neither tensors nor signatures.

A prediction that was going on when its server died fails, for it may be what killed it; those that come after wait for
the next server, which takes a third of a second as long as TensorFlow's own process lives. A server that keeps dying
is started again ever more slowly; when that takes too long to wait for, or the product cannot be opened any more,
predictions fail at once until it is back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from components.errors import FaultError, TowpathError
from components.runtime.protocol import Stop
from components.runtime.savedmodel import frames
from components.runtime.savedmodel.lanes import Lane, LaneEndedError, LaneStoppedError
from components.runtime.savedmodel.server import Server
from components.runtime.signature import read_signature
from components.stage.files import require_digest
from components.stage.product_files import require_product_files
from components.types.product import SAVED_MODEL_DIR, ProductRef, Signature

GRACE_S = 1.0
"""How long a prediction that was stopped may still go on before its server is ended."""
STEADY_S = 10.0
"""A server that lived so long had no trouble: its successor starts at once."""
MOST_DEATHS = 6
"""After so many in a row the next start is four seconds away, too long for a request to wait: it fails at once."""
_FIRST_WAIT_S = 0.25
_LONGEST_WAIT_S = 10.0
_LISTENING_S = 0.02

Answer = tuple[frames.Header, dict[str, NDArray[Any]]]


class Wish:
    """A stop that is a plain flag."""

    terminate: bool = False


@dataclass(frozen=True)
class Opened:
    """What is in a product."""

    described: Mapping[str, Any]
    """``inputs`` and ``outputs`` of the SavedModel, each a type and a shape by name."""
    signature: Signature
    """What the product says of itself."""


class Keeper:
    """The server of one product, whichever process that is at the time."""

    def __init__(self, product: ProductRef, threads: int, lanes: int) -> None:
        """Take what is served, how many threads a prediction may use, and how many there may be at once."""
        self._product = product
        self._threads = threads
        self._lanes = lanes
        self._changed = threading.Condition()
        self._server: Server | None = None
        self._deaths = 0
        self._words = ""
        self._is_restarting = False
        self._closing = threading.Event()
        self._closed = Wish()

    @property
    def pid(self) -> int | None:
        """The server's process; None while there is none."""
        server = self._server
        return None if server is None else server.pid

    def start(self, stop: Stop) -> Opened:
        """Check the product's bytes, have them opened, and return what is in them.

        Raises:
            DigestMismatchError: the bytes are not those that were promised.
            FaultError: they cannot be opened, or `stop` said to end.
        """
        server, opened = self._open(stop)
        self._adopt(server)
        return opened

    def exchange(self, frame: bytes, stop: Stop) -> Answer:
        """Return the answer to a frame.

        Raises:
            FaultError: the server died of it, there is none, or `stop` said to end.
        """
        for has_tried in (False, True):
            server, lane = self._take(stop)
            try:
                lane.send(frame, stop)
                answer = lane.receive(stop)
            except LaneEndedError:
                lane.close()
                self._lost(server)
                if server.was_ended and not has_tried:
                    continue  # another prediction hung, which says nothing about this one
                raise FaultError(
                    f"TensorFlow's process {server.how()} while it predicted; it is being started again"
                ) from None
            except LaneStoppedError:
                self._give_up(server, lane)
                raise FaultError("the prediction was stopped") from None
            except BaseException:
                self._give_up(server, lane)
                raise
            self._give_back(server, lane)
            return answer
        raise AssertionError("the second try returns or raises")

    def close(self) -> None:
        """End the server; there is no other after it."""
        self._closed.terminate = True
        self._closing.set()
        with self._changed:
            server, self._server = self._server, None
            self._changed.notify_all()
        if server is not None:
            server.is_gone = True
            server.end()

    def _open(self, stop: Stop) -> tuple[Server, Opened]:
        try:
            return self._open_files(stop)
        except OSError as error:  # it was deleted meanwhile, or the disk fails
            raise FaultError(f"{self._product.directory} cannot be opened: {error}") from error

    def _open_files(self, stop: Stop) -> tuple[Server, Opened]:
        directory, digest = self._product.directory, self._product.digest
        require_product_files(directory, self._product.runtime)
        require_digest(directory, digest)
        server = Server(directory / SAVED_MODEL_DIR, self._threads, self._lanes, self._lost)
        try:
            opened = Opened(server.described(stop), read_signature(directory))
            require_digest(directory, digest)  # it was read from the disk again: it is still what was checked
        except BaseException as error:
            server.end()
            if isinstance(error, FaultError):
                raise type(error)(f"{directory}: {error}") from error
            raise
        return server, opened

    def _adopt(self, server: Server) -> None:
        with self._changed:
            if not (self._closed.terminate or server.is_gone):
                self._server = server
                self._is_restarting = False
                self._changed.notify_all()
                return
        server.end()
        raise FaultError(f"{self._product.directory}: TensorFlow's process {server.how()} once it had it open")

    def _take(self, stop: Stop) -> tuple[Server, Lane]:
        with self._changed:
            while True:
                if stop.terminate:
                    raise FaultError("the prediction was stopped before it began")
                server = self._server
                if server is not None and server.free:
                    return server, server.free.pop()
                if server is None:
                    self._restart()
                    if self._closed.terminate or self._deaths >= MOST_DEATHS:
                        raise FaultError(self._words or "the product was closed")
                self._changed.wait(_LISTENING_S)

    def _give_back(self, server: Server, lane: Lane) -> None:
        with self._changed:
            if server.is_gone:
                lane.close()
            else:
                server.free.append(lane)
                self._changed.notify()

    def _give_up(self, server: Server, lane: Lane) -> None:
        """Leave a prediction that was stopped: its server is ended unless the prediction ends soon."""

        def wait_out() -> None:
            if lane.has_answer_within(GRACE_S):
                self._give_back(server, lane)
                return
            lane.close()
            if not server.is_gone:
                server.was_ended = True
                self._lost(server)

        try:
            threading.Thread(target=wait_out, daemon=True, name="savedmodel-stopped").start()
        except RuntimeError:  # the system gives no thread at the moment
            wait_out()

    def _lost(self, server: Server) -> None:
        """Take note that a server ended, or end it, and have another one started where it was the one in use."""
        with self._changed:
            server.is_gone = True
            if self._server is not server:
                return
            self._server = None
            self._deaths = 1 if time.monotonic() - server.born_s >= STEADY_S else self._deaths + 1
        server.end()
        self._words = (
            f"{self._product.directory}: TensorFlow's process died {self._deaths} times in a row; it is tried again "
            "from time to time"
        )
        self._restart()

    def _restart(self) -> None:
        """Have a server started, unless that goes on; where there is no thread for it, the next prediction tries."""
        with self._changed:
            if self._server is not None or self._is_restarting or self._closed.terminate:
                return
            self._is_restarting = True
            try:
                threading.Thread(target=self._start_again, daemon=True, name="savedmodel-restart").start()
            except RuntimeError as error:
                self._is_restarting = False
                self._words = f"{self._product.directory}: TensorFlow's process died and cannot be replaced: {error}"

    def _start_again(self) -> None:
        while True:
            wait_s = 0.0 if self._deaths <= 1 else min(_FIRST_WAIT_S * 2 ** (self._deaths - 2), _LONGEST_WAIT_S)
            if self._closing.wait(wait_s):
                return
            try:
                server, _ = self._open(self._closed)
                self._adopt(server)
            except Exception as error:  # whatever it was: nobody else would start a server
                words = str(error) if isinstance(error, TowpathError) else f"{type(error).__name__}: {error}"
                with self._changed:
                    self._deaths = max(self._deaths + 1, MOST_DEATHS)
                    self._words = words
                continue
            return
