"""Recent predictions by request, so that a label finds its own, whichever worker it reaches. Judges nothing.

A request's hash names a slot and the newest takes it: of the latest n requests, with s slots, a share of about
exp(-n / s) is still known. A prediction of one row is kept, as a number (a class as its name's checksum).
"""

from __future__ import annotations

import mmap
from struct import Struct
from typing import NamedTuple

_ENTRY = Struct("=QQddBBBB4x")
_VALUE = Struct("=d")
_SHADOW_AT, _HAS_SHADOW_AT, _LABELLED_AT = 24, 33, 34
ENTRY_BYTES = _ENTRY.size


class Known(NamedTuple):
    """What is known of one request."""

    user: int
    value: float
    shadow: float | None
    role: int
    """Index of the role that answered."""
    is_class: bool
    """Whether the values are checksums of classes' names."""


class PredictionRing:
    """Predictions of the latest requests."""

    def __init__(self, memory: mmap.mmap, slots: int) -> None:
        self._memory = memory
        self._mask = slots - 1

    def put(self, request: int, user: int, role: int, value: float, is_class: bool) -> None:
        """Keep what `role` (from 0) answered."""
        place = (request & self._mask) * ENTRY_BYTES
        _ENTRY.pack_into(self._memory, place, request, user, value, 0.0, role + 1, 0, 0, is_class)

    def put_shadow(self, request: int, value: float) -> None:
        """Keep what the shadow would have answered, where the request is still known."""
        place = (request & self._mask) * ENTRY_BYTES
        if _ENTRY.unpack_from(self._memory, place)[0] == request:
            _VALUE.pack_into(self._memory, place + _SHADOW_AT, value)
            self._memory[place + _HAS_SHADOW_AT] = 1

    def find(self, request: int) -> Known | None:
        """Return what is known of a request; None for one that is unknown or has its label."""
        place = (request & self._mask) * ENTRY_BYTES
        key, user, value, shadow, role, has_shadow, labelled, is_class = _ENTRY.unpack_from(self._memory, place)
        if key != request or not role or labelled:
            return None
        return Known(user, value, shadow if has_shadow else None, role - 1, bool(is_class))

    def mark_labelled(self, request: int) -> None:
        """Let nobody label a request again."""
        self._memory[(request & self._mask) * ENTRY_BYTES + _LABELLED_AT] = 1
