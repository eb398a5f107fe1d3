"""Ask a shadow in a process of its own, without ever waiting for it. Counts nothing, judges nothing.

All of this runs on the event loop, which is why it works in bursts: to be woken costs more than what a request takes. A
process that dies is replaced, ever more slowly; the request that it was
at is the shadow's failure, and those that it had not begun are asked again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from components.errors import BadInputError
from components.serving.asked import Asked, Attempt, failed
from components.serving.mirroring.frames import Frames, frame, pack_batch, unpack_outputs
from components.serving.mirroring.process import ShadowProcess
from components.serving.mirroring.restarts import Progress, Restarts
from components.serving.mirroring.shadowing import understood
from components.serving.served_model import ServedModel
from components.types.judging import BadEvent
from components.types.release import Role

WAITING = 2_048
"""Most requests waiting for the shadow: what comes while its process starts has room, and of large ones …"""
WAITING_BYTES = 33_554_432
"""… no more than so many bytes of bodies."""
_BURST = 16
"""So many requests are handed over together, …"""
_BURST_S = 0.025
"""… or fewer, once the first of them waited so long."""
_MOST_SENT = 64
"""Most requests that the process has and did not answer."""
_FRAME_BYTES = 262_144
"""A frame is closed at so many bytes of bodies."""
_LOOK_S = 0.25

log = logging.getLogger("towpath.gateway")


class _Pair(NamedTuple):
    asked: Asked
    stable: Attempt


class _Sent(NamedTuple):
    number: int
    pair: _Pair
    attempt: Attempt


class ProcessLane:
    """The process of one shadow, whichever that is at the time, and what waits for it; belongs to the event loop."""

    bulkhead = None
    """Nothing here runs in threads of its own."""

    def __init__(
        self,
        shadow: ServedModel,
        time_limit_s: float,
        told: Callable[[Asked, Attempt, Attempt], None],
        dropped: Callable[[], None],
        died: Callable[[int | None], None],
    ) -> None:
        """Take who is asked, and who hears of each answer, of each request that got none, and of each death."""
        self._shadow = shadow
        self._name = f"the shadow of {shadow.ref.model}, version {shadow.ref.version}"
        self._time_limit_s = time_limit_s
        self._told = told
        self._dropped = dropped
        self._died = died
        self._waiting: deque[_Pair] = deque()
        self._waiting_bytes = 0
        self._sent: deque[_Sent] = deque()
        self._last_number = 0
        self._timer: asyncio.TimerHandle | None = None
        self._process: ShadowProcess | None = None
        self._frames = Frames()
        self._gone = asyncio.Event()
        self._life: asyncio.Task[None] | None = None
        self._has_ended = False
        self._restarts = Restarts()

    @property
    def pid(self) -> int | None:
        """The number of the process; None while there is none."""
        return None if self._process is None else self._process.pid

    def offer(self, asked: Asked, stable: Attempt) -> bool:
        """Take a request, or return False when as many wait as may."""
        size_bytes = len(asked.body)
        if len(self._waiting) >= WAITING or self._waiting_bytes + size_bytes > WAITING_BYTES or self._has_ended:
            return False
        self._waiting.append(_Pair(asked, stable))
        self._waiting_bytes += size_bytes
        if self._life is None or self._life.done():
            self._life = asyncio.get_running_loop().create_task(self._live())
        elif self._process is not None and self._process.is_ready:
            self._hand_over_soon()
        return True

    def end(self) -> None:
        """Ask nobody any more, tell nobody of what is still computed, and end the process."""
        self._has_ended = True
        self._waiting.clear()
        self._sent.clear()
        if self._life is not None:
            self._life.cancel()

    async def _live(self) -> None:
        """Keep a process until there is nothing left to ask one that died."""
        while self._waiting and not self._has_ended:
            await asyncio.sleep(self._restarts.wait_s)
            try:
                process = await asyncio.to_thread(self._started)
            except OSError as error:  # as when there is no memory
                log.error("%s: no process can be started: %s; %s", self._name, error, self._restarts.again(0.0))
                continue
            try:
                self._adopt(process)
                await self._until_gone(process)
            except BaseException:
                process.was_ended = True
                self._drop_sent()
                raise
            finally:
                self._let_go(process)
                code = await asyncio.to_thread(process.end)
            self._bury(process, code)

    def _started(self) -> ShadowProcess:
        """Return a process; called in a thread, since the event loop would stand still for it."""
        process = ShadowProcess(self._shadow.placed, self._time_limit_s)
        if self._has_ended:  # meanwhile: nobody takes it
            process.was_ended = True
            process.end()
        return process

    def _adopt(self, process: ShadowProcess) -> None:
        self._process, self._frames, self._last_number = process, Frames(), 0
        self._gone = asyncio.Event()
        asyncio.get_running_loop().add_reader(process.socket, self._hear, process)

    def _let_go(self, process: ShadowProcess) -> None:
        self._process = None
        loop = asyncio.get_running_loop()
        loop.remove_reader(process.socket)
        loop.remove_writer(process.socket)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _until_gone(self, process: ShadowProcess) -> None:
        """Wait until the process is gone, and end it where a prediction or the loading hangs."""
        progress = Progress(process, self._time_limit_s)
        while not self._gone.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), _LOOK_S)
            if progress.hangs(has_work=bool(self._sent)):
                process.was_ended = True
                return

    def _hand_over_soon(self) -> None:
        if len(self._waiting) >= _BURST and len(self._sent) < _MOST_SENT:
            self._hand_over()
        elif self._waiting and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_BURST_S, self._hand_over)

    def _hand_over(self) -> None:
        """Send what waits, as much as a frame and the process may have."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        process = self._process
        if process is None:
            return
        content, size_bytes = [], 0
        while self._waiting and len(self._sent) < _MOST_SENT and size_bytes < _FRAME_BYTES:
            pair = self._waiting.popleft()
            self._waiting_bytes -= len(pair.asked.body)
            size_bytes += len(pair.asked.body)
            if (packed := self._packed(pair)) is not None:
                content.append(packed)
        loop = asyncio.get_running_loop()
        if content and not process.send(frame(content)):
            loop.add_writer(process.socket, self._send_rest, process)
        if self._waiting:
            self._timer = loop.call_later(_BURST_S, self._hand_over)

    def _packed(self, pair: _Pair) -> Any:
        """Return a request as it crosses; None where the shadow refuses it, which is then told."""
        try:
            attempt = understood(pair.asked, pair.stable, self._shadow)
            assert attempt.batch is not None
            packed = pack_batch(attempt.batch, self._shadow.plan.inputs)
        except Exception as error:
            if not isinstance(error, BadInputError):
                log.error("%s could not be asked", self._name, exc_info=error)
            self._told(*pair, failed(self._shadow, Role.SHADOW, BadEvent.SERVER_ERROR, 0.0))
            return None
        self._last_number += 1
        self._sent.append(_Sent(self._last_number, pair, attempt))
        return self._last_number, attempt.batch.rows, packed

    def _send_rest(self, process: ShadowProcess) -> None:
        if process.send():
            asyncio.get_running_loop().remove_writer(process.socket)

    def _hear(self, process: ShadowProcess) -> None:
        if (arrived := process.receive()) is None:
            asyncio.get_running_loop().remove_reader(process.socket)
            self._gone.set()
            return
        self._frames.feed(arrived)
        self._understand(process)

    def _understand(self, process: ShadowProcess) -> None:
        """Take one frame; requests that came meanwhile are answered before the next."""
        if process is not self._process or not self._frames.has_one:
            return
        try:
            content = self._frames.take()
            if not process.is_ready:
                self._begin(process, content)
                return
            for answer in content:
                self._take(*answer)
            self._hand_over_soon()
        except Exception:  # its native code may have written anywhere
            log.exception("%s: its process gave an answer that is none, and is ended", self._name)
            process.kill()
            return
        if self._frames.has_one:
            asyncio.get_running_loop().call_soon(self._understand, process)

    def _begin(self, process: ShadowProcess, complaint: str) -> None:
        if complaint:
            log.error("%s cannot be asked: %s", self._name, complaint)
            return
        process.is_ready = True
        self._hand_over()

    def _take(self, number: int, bad: str | None, seconds: float, outputs: Any) -> None:
        if number != self._sent[0].number:
            raise ValueError(f"an answer to request {number} where {self._sent[0].number} was due")
        _, pair, attempt = self._sent.popleft()
        attempt.seconds = seconds
        attempt.bad = None if bad is None else BadEvent(bad)
        attempt.outputs = None if outputs is None else unpack_outputs(outputs)
        self._told(*pair, attempt)

    def _drop_sent(self) -> None:
        for _ in self._sent:
            self._dropped()
        self._sent.clear()

    def _bury(self, process: ShadowProcess, code: int | None) -> None:
        """Say of every request that the process had what came of it."""
        at = process.begun
        again: list[_Pair] = []
        for number, pair, attempt in self._sent:
            if number > at:
                again.append(pair)
            elif number < at:
                self._dropped()
            else:
                attempt.bad = BadEvent.TIMEOUT if process.was_ended else BadEvent.SERVER_ERROR
                attempt.seconds = self._time_limit_s if process.was_ended else 0.0
                self._told(*pair, attempt)
        self._sent.clear()
        self._waiting.extendleft(reversed(again))
        self._waiting_bytes += sum(len(pair.asked.body) for pair in again)
        how = "was ended, because a prediction hung" if process.was_ended else f"ended with exit code {code}"
        log.error("%s: its process %s; %s", self._name, how, self._restarts.again(time.monotonic() - process.started_s))
        if not process.was_ended:
            self._died(code)
