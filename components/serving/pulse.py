"""What a worker does several times a second beside answering: tell the board, look for kill switches. Knows no HTTP."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

from components.serving.measurements import publish_totals

if TYPE_CHECKING:
    from components.serving.gateway import Gateway

EVERY_S = 0.25
_BEAT_S = 1.0

log = logging.getLogger("towpath.gateway")


class Pulse:
    """Keep the board at what one gateway process knows."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._told: object = None
        self._told_s = 0.0
        self._has_failed = False
        self._history: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Beat until cancelled."""
        try:
            while True:
                self.beat()
                if (board := self._gateway.board) is not None and board.is_untidy:
                    with suppress(OSError, RuntimeError):  # files that stay harm nobody; there may be no thread for it
                        await asyncio.to_thread(board.tidy)
                await asyncio.sleep(EVERY_S)
        finally:
            if self._history is not None:
                self._history.cancel()

    def beat(self) -> None:
        """Tell the board once; a board that cannot be written is no reason to stop serving."""
        judges = list(self._gateway.judges.values())
        # what one of them meets is no reason to leave out the others, least of all another model's kill switch
        calls = [*(each.obey_kill_switch for each in judges), *(each.flush for each in judges), self._tell]
        met = [_error_of(call) for call in calls]
        self._gateway.is_on_board = met[-1] is None
        errors = [error for error in met if error is not None]
        if errors and not self._has_failed:
            log.error("the board cannot be written; requests are answered on: %s", errors[0], exc_info=errors[0])
        self._has_failed = bool(errors)
        if self._history is None and any(judge.has_candidate for judge in judges):
            self._history = asyncio.create_task(self._keep_history())

    def _tell(self) -> None:
        gateway, now_s = self._gateway, time.monotonic()
        status = (gateway.revs, gateway.loaded, dict(gateway.problems))
        if gateway.board is None or (status == self._told and now_s - self._told_s < _BEAT_S):
            return
        gateway.board.beat(*status)
        publish_totals(gateway)
        self._told, self._told_s = status, now_s

    async def _keep_history(self) -> None:
        # only while there is something to draw: the page's modules take their time and memory
        page = await asyncio.to_thread(import_module, "components.serving.page")
        await page.keep_history(self._gateway)


def _error_of(call: Callable[[], None]) -> Exception | None:
    try:
        call()
    except Exception as error:
        return error
    return None
