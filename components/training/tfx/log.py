"""Send all that a process writes to its two streams into one file, what C++ code writes included."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_to(path: Path) -> Iterator[None]:
    """Let standard output and error go to `path` while the block runs, and the trace of an error that leaves it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _flush()
    shown = [os.dup(1), os.dup(2)]
    with path.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        _flush()
        for number, descriptor in zip((1, 2), shown, strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
