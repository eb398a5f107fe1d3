"""Why a rollout is stopped: a byte each for the judge, the breaker and a person, and the sentences. Judges nothing."""

from __future__ import annotations

import mmap
from contextlib import suppress
from pathlib import Path

from components.serving.board.mapped_file import write_once

SIZE_BYTES = 4

_ALARM, _BREAKER, _KILLED = 0, 1, 2
_FILES = {_ALARM: "alarm", _BREAKER: "breaker"}
_UNKNOWN = {
    _ALARM: "the judge stopped it; its sentence could not be kept, the gateway's log has it",
    _BREAKER: "the breaker stopped it; its sentence could not be kept, the gateway's log has it",
}


class Stops:
    """Bytes that all workers see at once, and that say enough where the sentences cannot be written.

    Nothing here takes a stop back.
    """

    def __init__(self, memory: mmap.mmap, folder: Path) -> None:
        """Take the memory's first bytes, and the folder in which the sentences are."""
        self.folder = folder
        self._bytes = memoryview(memory)[:SIZE_BYTES]
        self.word = self._bytes.cast("I")
        """All of them as one number, for one cheap look: stopped where it is not 0."""
        self._copied: set[int] = set()

    @property
    def is_stopped(self) -> bool:
        """Whether the canary's weight is to be 0."""
        return self.word[0] != 0

    @property
    def is_killed(self) -> bool:
        """Whether a person stopped it."""
        return self._bytes[_KILLED] != 0

    @property
    def alarm(self) -> str | None:
        """What the judge said."""
        return self._sentence(_ALARM)

    @property
    def breaker(self) -> str | None:
        """What the breaker said."""
        return self._sentence(_BREAKER)

    def kill(self) -> None:
        """Stop it for a person."""
        self._bytes[_KILLED] = 1

    def raise_alarm(self, sentence: str) -> bool:
        """Stop it for the judge; return whether this is the first alarm.

        Raises:
            OSError: the sentence cannot be kept; it is stopped all the same.
        """
        return self._stop(_ALARM, sentence)

    def trip_breaker(self, sentence: str) -> bool:
        """Stop it for the breaker; return whether it is the first time.

        Raises:
            OSError: the sentence cannot be kept; it is stopped all the same.
        """
        return self._stop(_BREAKER, sentence)

    def inherit(self, before: Stops) -> bool:
        """Stop for whatever stopped `before`; return whether anything of it is new here. May be asked again and again.

        A sentence may come later than its byte, also there: until it does, the next call looks for it.
        """
        if before.word[0] == 0:
            return False
        wanted = [index for index in (_ALARM, _BREAKER, _KILLED) if before._bytes[index]]
        new = [index for index in wanted if not self._bytes[index]]
        for index in new:
            self._bytes[index] = 1
        for index, name in _FILES.items():
            if index in wanted and index not in self._copied and (said := before._text(index)) is not None:
                with suppress(OSError):  # as on a full disk; the byte is enough to stop
                    write_once(self.folder / name, said.encode())
                    self._copied.add(index)
        return bool(new)

    def _stop(self, index: int, sentence: str) -> bool:
        self._bytes[index] = 1  # first of all: the words may fail
        return write_once(self.folder / _FILES[index], sentence.encode())

    def _sentence(self, index: int) -> str | None:
        return (self._text(index) or _UNKNOWN[index]) if self._bytes[index] else None

    def _text(self, index: int) -> str | None:
        try:
            return (self.folder / _FILES[index]).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
