"""Ask a shadow in a thread: one whose runtime waits for another process, and computes nothing here. Counts nothing."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from components.errors import BadInputError
from components.runtime.protocol import Stop
from components.serving.asked import Asked, Attempt, failed
from components.serving.bulkhead import Bulkhead, Task
from components.serving.mirroring.shadowing import compute, understood
from components.serving.served_model import ServedModel
from components.types.judging import BadEvent
from components.types.release import Role

WAITING = 128
"""Most requests waiting for the shadow: at the largest body together 128 MiB."""
_TOLD_S = 0.01
"""How often answers are handed on: waking the event loop for each would cost every request a system call, and handing
on many at once would make one wait."""

log = logging.getLogger("towpath.gateway")


class ThreadLane:
    """One thread and what waits for it."""

    def __init__(
        self,
        shadow: ServedModel,
        running: Callable[[Role], AbstractContextManager[None]],
        time_limit_s: float,
        told: Callable[[Asked, Attempt, Attempt], None],
    ) -> None:
        """Take who is asked, what marks that it computes, and who is told (on the event loop) of each answer."""
        self.bulkhead = Bulkhead(f"shadow-{shadow.ref.model}", threads=1, waiting=WAITING)
        self._shadow = shadow
        self._running = running
        self._time_limit_s = time_limit_s
        self._told = told
        self._answered: deque[tuple[Asked, Attempt, Attempt]] = deque()
        """Request, stable's attempt and the shadow's: filled in the thread, emptied on the event loop."""
        self._asked = 0
        """How many were put to the shadow whose answers were not handed on yet."""

    def offer(self, asked: Asked, stable: Attempt) -> bool:
        """Take a request, or return False when as many wait as may."""
        call = partial(self._attempt, asked, stable)
        task = Task(call, self._shadow.make_stop(), partial(self._note, asked, stable), self._time_limit_s)
        if not self.bulkhead.offer(task):
            return False
        self._asked += 1
        if self._asked == 1:
            asyncio.get_running_loop().call_later(_TOLD_S, self._hand_on)
        return True

    def end(self) -> None:
        """Ask nobody any more, and tell nobody of what is still computed."""
        self.bulkhead.stop_all()
        self._asked = 0

    def _attempt(self, asked: Asked, stable: Attempt, stop: Stop) -> Attempt:
        with self._running(Role.SHADOW):
            try:
                attempt = understood(asked, stable, self._shadow)
            except BadInputError:
                return failed(self._shadow, Role.SHADOW, BadEvent.SERVER_ERROR, 0.0)
            compute(attempt, stop, self._time_limit_s)
            return attempt

    def _note(self, asked: Asked, stable: Attempt, shadow: Any, error: Exception | None) -> None:
        """Keep a pair until the event loop looks for it; called in the thread."""
        if error is not None:
            log.error("the shadow of %s could not be asked", self._shadow.ref.model, exc_info=error)
            shadow = failed(self._shadow, Role.SHADOW, BadEvent.SERVER_ERROR, 0.0)
        self._answered.append((asked, stable, shadow))

    def _hand_on(self) -> None:
        while self._answered and self._asked:
            self._asked -= 1
            self._told(*self._answered.popleft())
        if self._asked:
            asyncio.get_running_loop().call_later(_TOLD_S, self._hand_on)
