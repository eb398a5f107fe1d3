"""Ask the shadow what stable was asked, after stable answered. Can touch no response: nobody waits for it.

The queue is bounded: what does not fit is not mirrored, and counted. One thread computes, so that a shadow takes at
most one processor from those that answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from components.errors import BadInputError
from components.runtime.protocol import Stop
from components.serving.asked import Asked, Attempt, bad_event, failed
from components.serving.bulkhead import Bulkhead, Task
from components.serving.served_model import ServedModel
from components.types.judging import BadEvent
from components.types.release import Role

if TYPE_CHECKING:
    from components.serving.judging import LiveJudge

WAITING = 128
"""Most requests waiting for the shadow: at the largest body together 128 MiB."""
_TOLD_S = 0.01
"""How often the judge is told of what the shadow answered: waking the event loop for each answer would cost every
request a system call, and telling of many at once would make one wait."""

log = logging.getLogger("towpath.gateway")


class Mirror:
    """Put requests that stable answered to a shadow as well."""

    def __init__(
        self,
        shadow: ServedModel,
        judge: LiveJudge,
        time_limit_s: float,
        tell: Callable[[Asked, Attempt], None] | None = None,
    ) -> None:
        """Take who is asked, who is told of each pair, and who else (on the event loop) hears the shadow's answer."""
        self.shadow = shadow
        self.bulkhead = Bulkhead(f"shadow-{shadow.ref.model}", threads=1, waiting=WAITING)
        self._judge = judge
        self._time_limit_s = time_limit_s
        self._tell = tell
        self._answered: deque[tuple[Asked, Attempt, Attempt]] = deque()
        """Request, stable's attempt and the shadow's: filled in the thread, emptied on the event loop."""
        self._asked = 0
        """How many were put to the shadow of which the judge was not told yet."""

    def offer(self, asked: Asked, stable: Attempt) -> None:
        """Mirror a request, or leave it out when too many wait; returns at once."""
        call = partial(self._attempt, asked, stable)
        task = Task(call, self.shadow.make_stop(), partial(self._note, asked, stable), self._time_limit_s)
        if not self.bulkhead.offer(task):
            self._judge.dropped()
            return
        self._asked += 1
        if self._asked == 1:
            asyncio.get_running_loop().call_later(_TOLD_S, self._tell_judge)

    def end(self) -> None:
        """Ask nobody any more, and tell nobody of what is still computed."""
        self.bulkhead.stop_all()
        self._asked = 0

    def _attempt(self, asked: Asked, stable: Attempt, stop: Stop) -> Attempt:
        with self._judge.running(Role.SHADOW):
            return self._computed(asked, stable, stop)

    def _computed(self, asked: Asked, stable: Attempt, stop: Stop) -> Attempt:
        shadow = self.shadow
        try:
            if shadow.signature == stable.model.signature:
                attempt = Attempt(shadow, Role.SHADOW, stable.batch, None)
            else:
                attempt = asked.understood_by(shadow, Role.SHADOW)
        except BadInputError:  # what stable accepts and the shadow refuses breaks the contract
            return failed(shadow, Role.SHADOW, BadEvent.SERVER_ERROR, 0.0)
        try:
            attempt.compute_timed(stop)
        except BadInputError:
            attempt.bad = BadEvent.SERVER_ERROR
        except Exception as error:
            attempt.bad = bad_event(error)
        if stop.terminate or attempt.seconds > self._time_limit_s:
            attempt.bad, attempt.outputs = BadEvent.TIMEOUT, None
        return attempt

    def _note(self, asked: Asked, stable: Attempt, shadow: Any, error: Exception | None) -> None:
        """Keep a pair until the event loop, to which the judge belongs, looks for it; called in the thread."""
        if error is not None:
            log.error("the shadow of %s could not be asked", self.shadow.ref.model, exc_info=error)
            shadow = failed(self.shadow, Role.SHADOW, BadEvent.SERVER_ERROR, 0.0)
        self._answered.append((asked, stable, shadow))

    def _tell_judge(self) -> None:
        while self._answered and self._asked:
            asked, stable, shadow = self._answered.popleft()
            self._asked -= 1
            assert stable.outputs is not None
            self._judge.mirrored(
                asked.user, asked.request, stable.outputs, shadow.outputs, stable.seconds, shadow.seconds, shadow.bad
            )
            if self._tell is not None:
                self._tell(asked, shadow)
        if self._asked:
            asyncio.get_running_loop().call_later(_TOLD_S, self._tell_judge)
