"""A few threads of one's own, with a bounded queue: what hangs or floods in there stays in there. Knows no models.

`concurrent.futures` would not do: its queue has no bound, and its threads are waited for when the process ends, so that
one hung prediction would keep a gateway from stopping. These threads are daemons, start when there is work, leave after
`IDLE_S` without any, and hold nothing but the task they are at.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, TypeVar

from components.runtime.protocol import Stop

IDLE_S = 10.0

T = TypeVar("T")

log = logging.getLogger("towpath.gateway")


class BulkheadFullError(Exception):
    """As many tasks wait as may, or no thread can be had; nothing was done."""


class Task:
    """Something to do in a thread, that can be asked to stop."""

    __slots__ = ("call", "deliver", "is_abandoned", "late_s", "stop", "time_s")

    def __init__(
        self,
        call: Callable[[Stop], Any],
        stop: Stop,
        deliver: Callable[[Any, Exception | None], None],
        time_s: float = math.inf,
    ) -> None:
        self.call = call
        self.deliver = deliver
        """Gets the result, or the error, in the thread."""
        self.stop = stop
        self.time_s = time_s
        """How long it may run once begun; `Bulkhead.stop_late` sees to it."""
        self.late_s = math.inf
        """When that is over, on the monotonic clock."""
        self.is_abandoned = False
        """Nobody waits for it any more; it is not begun."""

    def abandon(self) -> None:
        """Do not begin it, or ask it to stop where it was begun."""
        self.is_abandoned = True
        self.stop.terminate = True


class Bulkhead:
    """Run tasks in at most `threads` threads, while at most `waiting` wait."""

    def __init__(self, name: str, threads: int, waiting: int, idle_s: float = IDLE_S) -> None:
        self._name = name
        self._most_threads = threads
        self._most_waiting = waiting
        self._idle_s = idle_s
        self._waiting: deque[Task] = deque()
        self._running: set[Task] = set()
        self._changed = threading.Condition()
        self._threads = 0
        self._idle = 0
        self._has_failed = False

    @property
    def threads(self) -> int:
        """How many threads there are now."""
        return self._threads

    @property
    def is_busy(self) -> bool:
        """Whether something runs in it."""
        return bool(self._running)

    def offer(self, task: Task) -> bool:
        """Take a task, or return False at once when as many wait as may, or no thread can be had for it."""
        with self._changed:
            if len(self._waiting) >= self._most_waiting:
                return False
            self._waiting.append(task)
            if self._idle >= len(self._waiting):
                self._changed.notify()
            elif self._threads < self._most_threads and not self._has_one_more() and not self._threads:
                self._waiting.pop()  # nobody would come for it
                return False
        return True

    async def run(self, call: Callable[[Stop], T], stop: Stop, time_s: float) -> T:
        """Return what `call` returns in a thread; what takes longer is abandoned.

        Raises:
            BulkheadFullError: as many tasks wait as may, or no thread can be had.
            TimeoutError: there was no result within `time_s`, the wait for a thread included.
            Exception: whatever `call` raises.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def deliver(result: Any, error: Exception | None) -> None:
            with suppress(RuntimeError):  # the loop ended while this was computed: nobody waits
                loop.call_soon_threadsafe(_settle, future, result, error)

        task = Task(call, stop, deliver)
        if not self.offer(task):
            raise BulkheadFullError
        timer = loop.call_later(time_s, _give_up, future, task)
        try:
            return await future
        finally:
            timer.cancel()

    def stop_late(self) -> None:
        """Ask every task that has run for longer than it may to stop."""
        if self._running:
            now_s = monotonic()
            with self._changed:
                late = [task for task in self._running if task.late_s <= now_s]
            for task in late:
                task.abandon()

    def stop_all(self) -> None:
        """Drop what waits and ask what runs to stop: the process is about to end."""
        with self._changed:
            self._waiting.clear()
            running = list(self._running)
        for task in running:
            task.abandon()

    def _has_one_more(self) -> bool:
        """Start a thread; return whether the system gave one, which it may refuse at one moment and not at the next."""
        try:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        except RuntimeError as error:
            if not self._has_failed:
                log.error("%s: %s; there are %d", self._name, error, self._threads)
            self._has_failed = True
            return False
        self._threads += 1
        self._has_failed = False
        return True

    def _run(self) -> None:
        while (task := self._next()) is not None:
            result, error = None, None
            try:
                result = task.call(task.stop)
            except Exception as raised:
                error = raised
            try:
                task.deliver(result, error)
            except Exception:
                log.exception("%s: a result could not be handed over", self._name)
            with self._changed:
                self._running.discard(task)
            del task, result, error  # a waiting thread keeps no tensor and no model in memory

    def _next(self) -> Task | None:
        """Return the next task; None once none came for a while, and the thread is to leave."""
        with self._changed:
            while True:
                while self._waiting:
                    task = self._waiting.popleft()
                    if not task.is_abandoned:
                        task.late_s = monotonic() + task.time_s
                        self._running.add(task)
                        return task
                self._idle += 1
                came = self._changed.wait(self._idle_s)
                self._idle -= 1
                if not came and not self._waiting:
                    self._threads -= 1
                    return None


def _settle(future: asyncio.Future[T], result: T, error: Exception | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


def _give_up(future: asyncio.Future[Any], task: Task) -> None:
    task.abandon()
    if not future.done():
        future.set_exception(TimeoutError())
