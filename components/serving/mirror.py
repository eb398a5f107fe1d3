"""Ask the shadow what stable was asked, after stable answered. Can touch no response: nobody waits for it.

The queue is bounded: what does not fit is not mirrored, and counted. One thread computes, so that a shadow takes at
most one processor from those that answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
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

    def offer(self, asked: Asked, stable: Attempt) -> None:
        """Mirror a request, or leave it out when too many wait; returns at once."""
        loop = asyncio.get_running_loop()
        call = partial(self._attempt, asked, stable)
        task = Task(call, self.shadow.make_stop(), partial(self._deliver, loop, asked, stable), self._time_limit_s)
        if not self.bulkhead.offer(task):
            self._judge.dropped()

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

    def _deliver(
        self,
        loop: asyncio.AbstractEventLoop,
        asked: Asked,
        stable: Attempt,
        attempt: Any,
        error: Exception | None,
    ) -> None:
        """Hand the pair over to the event loop, to which the judge belongs; called in the thread."""
        if error is not None:
            log.error("the shadow of %s could not be judged", self.shadow.ref.model, exc_info=error)
            return
        with suppress(RuntimeError):  # the loop ended meanwhile
            loop.call_soon_threadsafe(self._judged, asked, stable, attempt)

    def _judged(self, asked: Asked, stable: Attempt, shadow: Attempt) -> None:
        assert stable.outputs is not None
        self._judge.mirrored(
            asked.user, asked.request, stable.outputs, shadow.outputs, stable.seconds, shadow.seconds, shadow.bad
        )
        if self._tell is not None:
            self._tell(asked, shadow)
