"""Programs that a scheduled run starts, none of which may hang for ever. Knows neither git nor DVC."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from components.errors import StageTimeoutError


def run_until(
    command: Sequence[str],
    folder: Path,
    deadline: float | None,
    name: str,
    *,
    environment: Mapping[str, str] | None = None,
    at_least_s: float = 0.0,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, however that is, or kill it once the run's time is up.

    Args:
        command: The program and its arguments.
        folder: Where it works.
        deadline: When the run's time is up (`time.monotonic`); None: never.
        name: What people know it by.
        environment: Its variables; those of this process by default.
        at_least_s: How long it may take however late it begins.

    Raises:
        StageTimeoutError: it was killed.
    """
    limit_s = None if deadline is None else max(at_least_s, deadline - time.monotonic(), 0.0)
    try:
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=limit_s
        )
    except subprocess.TimeoutExpired:
        raise StageTimeoutError(
            f"{name} was killed after {limit_s:.0f} s, when the run's time was up; see that what it waits for answers, "
            "or give the run a longer `timeout_s`"
        ) from None
