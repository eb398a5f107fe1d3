"""Do many pieces of work on a cluster and give the results in order. Knows nothing of what the work is.

Workers are asked for all over the cluster and join as they come up. A piece whose worker is lost is done again by
another one, three times at most; a piece that raises an error of its own stops the whole at its turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from components.cluster.capacity import Request
from components.cluster.session import NodeLostError, Session
from components.errors import ConfigError, InfrastructureError, TowpathError
from components.stage.progress import note

TRIES = 3
"""How often a piece is tried, and how often in a row a worker is lost before it did anything."""
_WAIT_S = 1.0
_PATIENCE_S = 5.0
"""After how long it is said that the work waits for room."""
_READ_AHEAD = 4
"""How many pieces are in memory besides one for each worker."""


@dataclass
class _Piece:
    index: int
    arguments: tuple[Any, ...]
    tries: int = 0


@dataclass(eq=False)
class _Worker:
    actor: Any
    reference: Any
    piece: _Piece | None = None
    """None until it is set up."""
    placed: bool = True
    """Whether a node has taken it."""


@dataclass
class OrderedPool:
    """Workers of one kind; `body` has a method ``work`` that takes the arguments of a piece."""

    session: Session
    body: type
    request: Request
    size: int
    """How many workers are asked for, at most."""
    set_up: Callable[[Session, Any], Any]
    """Prepares a worker that answers, and returns a reference that is ready when it is."""
    what: str
    """For messages."""
    key: str
    """The configuration's key that says what a worker asks of a node, for messages."""
    _workers: list[_Worker] = field(default_factory=list)
    _waiting: deque[_Piece] = field(default_factory=deque)
    _idle: list[Any] = field(default_factory=list)
    _done: dict[int, Any] = field(default_factory=dict)
    _lost: int = 0
    _waited_s: float = 0.0

    def results(self, pieces: Iterator[tuple[Any, ...]]) -> Iterator[Any]:
        """Give what ``work`` returns for each piece, in the pieces' order.

        Raises:
            TowpathError: what a piece raised, or reading the pieces.
            InfrastructureError: workers are lost again and again, or no node is left that could take one.
        """
        try:
            yield from self._results(pieces)
        finally:
            for worker in self._workers:
                self.session.stop(worker.actor)
            for actor in self._idle:
                self.session.stop(actor)

    def _results(self, pieces: Iterator[tuple[Any, ...]]) -> Iterator[Any]:
        read, given, more = 0, 0, True
        while more or given < read:
            while more and read - given < self.size + _READ_AHEAD:
                more = self._read(pieces, read)
                read += 1 if more or read in self._done else 0
            while len(self._workers) + len(self._idle) < min(self.size, read):  # no more workers than pieces
                self._hire()
            self._hand_out()
            if given < read and given not in self._done:
                self._wait()
            while given in self._done:
                result = self._done.pop(given)
                if isinstance(result, TowpathError):
                    raise result
                yield result
                given += 1

    def _read(self, pieces: Iterator[tuple[Any, ...]], index: int) -> bool:
        """Put the next piece on the list, and say whether there was one; an error in reading it is its result."""
        try:
            arguments = next(pieces, None)
        except TowpathError as error:
            self._done[index] = error
            return False
        if arguments is not None:
            self._waiting.append(_Piece(index, arguments))
        return arguments is not None

    def _hire(self) -> None:
        actor = self.session.start(self.body, self.request)
        self._workers.append(_Worker(actor, actor.name.remote(), placed=False))

    def _hand_out(self) -> None:
        while self._waiting and self._idle:
            piece, actor = self._waiting.popleft(), self._idle.pop()
            piece.tries += 1
            self._workers.append(_Worker(actor, actor.work.remote(*piece.arguments), piece))

    def _wait(self) -> None:
        """Wait for some worker, and take what it has."""
        ready = self.session.ready([worker.reference for worker in self._workers], _WAIT_S)
        if not ready:
            self._require_capacity()
            return
        self._waited_s = 0.0
        for worker in [each for each in self._workers if each.reference in ready]:
            try:
                self._take(worker)
            except NodeLostError as error:
                self._replace(worker, error)

    def _require_capacity(self) -> None:
        """Give up when the nodes that could take a worker are gone; say so when it is only room that is missing."""
        try:
            self.session.require_capacity(self.request, self.what, self.key)
        except ConfigError as error:
            raise InfrastructureError(f"the cluster lost nodes: {error}") from error
        if any(worker.placed for worker in self._workers):
            return
        if self._waited_s < _PATIENCE_S <= self._waited_s + _WAIT_S:
            note(f"{self.what} waits for room on the cluster")
        self._waited_s += _WAIT_S

    def _take(self, worker: _Worker) -> None:
        if worker.piece is None:
            self.session.get(worker.reference)
            if not worker.placed:
                worker.placed = True
                worker.reference = self.set_up(self.session, worker.actor)
                return
        else:
            try:
                self._done[worker.piece.index] = self.session.get(worker.reference)
            except TowpathError as error:
                self._done[worker.piece.index] = error
            self._lost = 0
        self._workers.remove(worker)
        self._idle.append(worker.actor)

    def _replace(self, worker: _Worker, error: NodeLostError) -> None:
        """Have another worker do what a lost one did not."""
        self._workers.remove(worker)
        self.session.stop(worker.actor)
        self._lost += 1
        tries = worker.piece.tries if worker.piece else 0
        if max(tries, self._lost // self.size) >= TRIES:
            raise InfrastructureError(
                f"{self.what} lost one process after another on the cluster, the last one so: {error}; look at the "
                "nodes' memory, and run again"
            ) from error
        if worker.piece:
            self._waiting.appendleft(worker.piece)
        self._hire()
