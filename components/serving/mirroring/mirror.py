"""Ask the shadow what stable was asked, after stable answered. Can touch no response: nobody waits for it.

What waits for the shadow is bounded: what does not fit is not mirrored, and counted. Knows no process and no thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from components.runtime.protocol import RemoteRuntime
from components.serving.asked import Asked, Attempt
from components.serving.bulkhead import Bulkhead
from components.serving.mirroring.process_lane import ProcessLane
from components.serving.mirroring.thread_lane import ThreadLane
from components.serving.served_model import ServedModel

if TYPE_CHECKING:
    from components.serving.judging import LiveJudge


class Mirror:
    """Put requests that stable answered to a shadow as well; belongs to the event loop."""

    def __init__(
        self,
        shadow: ServedModel,
        judge: LiveJudge,
        time_limit_s: float,
        tell: Callable[[Asked, Attempt], None] | None = None,
    ) -> None:
        """Take who is asked, who is told of each pair, and who else hears the shadow's answer."""
        self.shadow = shadow
        self._judge = judge
        self._tell = tell
        self._lane = (
            ThreadLane(shadow, judge.running, time_limit_s, self._told)
            if isinstance(shadow.runtime, RemoteRuntime)
            else ProcessLane(shadow, time_limit_s, self._told, judge.dropped, judge.shadow_died)
        )

    @property
    def bulkhead(self) -> Bulkhead | None:
        """The thread that asks the shadow, where one does."""
        return self._lane.bulkhead

    def offer(self, asked: Asked, stable: Attempt) -> None:
        """Mirror a request, or leave it out when too many wait; returns at once."""
        if not self._lane.offer(asked, stable):
            self._judge.dropped()

    def end(self) -> None:
        """Ask nobody any more, and tell nobody of what is still computed."""
        self._lane.end()

    def _told(self, asked: Asked, stable: Attempt, shadow: Attempt) -> None:
        assert stable.outputs is not None
        self._judge.mirrored(
            asked.user, asked.request, stable.outputs, shadow.outputs, stable.seconds, shadow.seconds, shadow.bad
        )
        if self._tell is not None:
            self._tell(asked, shadow)
