"""How much memory a shadow's process may take, so that it is the shadow that goes. Knows nothing of what it predicts.

Where several processes share a container's limit, the kernel may end all of them when it is reached (Kubernetes sets
cgroup v2's `memory.oom.group`): being the first choice is then not enough, the process has to end before.
"""

from __future__ import annotations

import os
import resource
import sys
from contextlib import suppress
from pathlib import Path

_LIMIT = Path("/sys/fs/cgroup/memory.max")
_SHARE = 4
"""A process may take this part of its container's limit: there may be two, beside the workers they belong to."""


def volunteer() -> None:
    """Have the kernel take this process first when memory runs out (Linux)."""
    with suppress(OSError):  # not Linux, or no right to say so
        Path("/proc/self/oom_score_adj").write_text("1000")


def bound_bytes(limit: Path = _LIMIT) -> int | None:
    """Return how much a process may take; None outside a container that has a limit."""
    try:
        return int(limit.read_text()) // _SHARE
    except (OSError, ValueError):  # no cgroup v2 here, or `max`
        return None


def taken_bytes() -> int:
    """Return this process's resident memory."""
    if sys.platform == "linux":
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def end_above(bound: int) -> None:
    """End this process as a crash where it takes more than it may: the shadow is not fit to be stable."""
    if (taken := taken_bytes()) > bound:
        text = f"a shadow takes {taken:,} bytes of memory; {bound:,}, a share of its container's, is the most it may\n"
        os.write(2, text.encode())
        os.abort()
