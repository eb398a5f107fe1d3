"""Waiting for something to become so, with a limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(said: Callable[[], T], what: str, timeout_s: float = 240.0) -> T:
    """Wait until something is so, and return it."""
    deadline = time.monotonic() + timeout_s
    while not (found := said()):
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.2)
    return found
