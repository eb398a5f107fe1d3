"""Which users were seen, and for which kinds of bad events: two bytes a user, shared by all workers. Judges nothing.

A user's hash names a slot; two users in one slot count as one. With n users in 2^20 slots a share of about n / 2^21 is
missed, stable's and canary's alike: it costs a little power and shifts nothing.
"""

from __future__ import annotations

import mmap

SLOTS = 1 << 20
SIZE_BYTES = 2 * SLOTS


class UserTable:
    """Tell the first time of a user from all others."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._cells = memoryview(memory).cast("H")

    def first(self, user: int, bit: int) -> bool:
        """Set a bit of a user, and return whether it was not set before.

        Args:
            user: 64-bit hash.
            bit: Below 16. Two workers that ask at the same instant may both be told so: one event more, at worst.
        """
        cells, place = self._cells, user & (SLOTS - 1)
        found, mask = cells[place], 1 << bit
        if found & mask:
            return False
        cells[place] = found | mask
        return True
