"""How long whoever looks at many models may wait for servers to load versions, in all. Knows no server."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_END: ContextVar[float] = ContextVar("_END", default=math.inf)


@contextmanager
def loading_time(seconds: float) -> Iterator[None]:
    """Give a block so many seconds, from its beginning, to wait for versions that are being loaded.

    Whatever is deployed later in the block is looked at once and no longer waited for, so that one version that hangs
    does not keep all others from their turn; servers load on meanwhile. Within another such block the shorter one
    holds. It is this thread's alone.
    """
    token = _END.set(min(_END.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _END.reset(token)


def left_s() -> float:
    """Return how long may still be waited; infinite outside of `loading_time`."""
    return max(0.0, _END.get() - time.monotonic())
