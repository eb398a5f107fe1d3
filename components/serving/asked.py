"""One prediction request: its bytes, who asks, and what each version made of it. Knows no routing and no protocol.

The same request may be put to several versions, each with its own signature: so it is kept as it came, and understood
by the plan of the version that is to answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from secrets import token_hex
from time import perf_counter

import numpy as np

from components.errors import BadInputError
from components.runtime.batch import InvalidOutputError
from components.runtime.protocol import Stop
from components.serving.input_plan import Batch
from components.serving.protocol import Answer, Protocol
from components.serving.reply import Reply
from components.serving.served_model import ServedModel, Stopwatch
from components.serving.split import LONGEST_ID, REQUEST_ID_HEADER, key_of, user_key
from components.types.judging import BadEvent
from components.types.release import Role

_PROCESS = token_hex(6)
_COUNTED = count()
_VISIBLE = frozenset(range(0x21, 0x7F))


class Asked:
    """A request for predictions; `attempts` grows while it is answered."""

    __slots__ = ("_user", "_user_header", "attempts", "body", "headers", "most_rows", "protocol", "request_id")

    def __init__(
        self, protocol: Protocol, headers: Mapping[bytes, bytes], request_id: bytes, most_rows: int, user_header: bytes
    ) -> None:
        self.protocol = protocol
        """How it is written, and how its answer is."""
        self.headers = headers
        self.body = b""
        self.most_rows = most_rows
        self.request_id = request_id
        self.attempts: list[Attempt] = []
        """The first is by the version whose turn it was, the last one's answer was sent."""
        self._user_header = user_header
        self._user: int | None = None

    @property
    def user(self) -> int:
        """The key of who asks."""
        if self._user is None:
            self._user = user_key(self.headers, self.request_id, self._user_header)
        return self._user

    @property
    def request(self) -> int:
        """The key of the request."""
        return key_of(self.request_id)

    def understood_by(self, model: ServedModel, role: Role | None) -> Attempt:
        """Return the request as `model` understands it, ready to be computed.

        Raises:
            RequestRefusedError: the body is malformed or too long.
            SchemaError: its values are not what the model takes.
        """
        batch, answer = self.protocol(self.body, self.headers, model, self.most_rows)
        return Attempt(model, role, batch, answer)


class Attempt:
    """What one version made of a request."""

    __slots__ = ("_answer", "bad", "batch", "model", "outputs", "role", "seconds")

    def __init__(self, model: ServedModel, role: Role | None, batch: Batch | None, answer: Answer | None) -> None:
        self.model = model
        self.role = role
        """What it was asked as; None where the request named the version."""
        self.batch = batch
        """None where it never came to be understood."""
        self.outputs: Mapping[str, np.ndarray] | None = None
        """None until it answered."""
        self.seconds = 0.0
        """How long the prediction alone took; measured only where a judge listens."""
        self.bad: BadEvent | None = None
        self._answer = answer
        """Writes the response; None where nobody gets one."""

    def compute(self, stop: Stop | None = None) -> None:
        """Predict.

        Raises:
            SchemaError: the numbers are too extreme for the version.
            FaultError: the version failed, gave an answer that is none, or was stopped.
        """
        assert self.batch is not None
        try:
            self.outputs = self.model.predict(self.batch, stop)
        except BadInputError:
            raise
        except Exception as error:
            self.bad = bad_event(error)
            raise

    def compute_clocked(self, stop: Stop | None = None) -> None:
        """Predict, and note how long it took by the clock on the wall; raises what `compute` raises."""
        started_s = perf_counter()
        try:
            self.compute(stop)
        finally:
            self.seconds = perf_counter() - started_s

    def compute_timed(self, stop: Stop | None = None) -> None:
        """Predict, and note how long it took so that versions can be compared; raises what `compute` raises."""
        watch = Stopwatch()
        try:
            self.compute(stop)
        finally:
            self.seconds = watch.seconds()

    def reply(self) -> Reply:
        """Return the response that this answer makes."""
        assert self.outputs is not None
        assert self._answer is not None
        return self._answer(self.model, self.outputs)


def failed(model: ServedModel, role: Role | None, bad: BadEvent, seconds: float) -> Attempt:
    """Return the attempt of a version that did not come to an answer."""
    attempt = Attempt(model, role, None, None)
    attempt.bad, attempt.seconds = bad, seconds
    return attempt


def bad_event(error: Exception) -> BadEvent:
    """Return what kind of bad event an error of a version is."""
    if isinstance(error, TimeoutError):
        return BadEvent.TIMEOUT
    return BadEvent.INVALID_OUTPUT if isinstance(error, InvalidOutputError) else BadEvent.SERVER_ERROR


def request_id(headers: Mapping[bytes, bytes]) -> bytes:
    """Return the request's own id, or one that is made here where it has none that can be echoed."""
    given = headers.get(REQUEST_ID_HEADER)
    if given is not None and 0 < len(given) <= LONGEST_ID and _VISIBLE.issuperset(given):
        return given
    return b"%s-%x" % (_PROCESS.encode(), next(_COUNTED))
