"""A flow for the tests of schedules: it says that it began, and stays."""

from __future__ import annotations

import os
import time
from pathlib import Path

from prefect import flow

from pipelines.schedules.presence import note_process


@flow(persist_result=False, on_running=[note_process])
def sleeper(folder: str, seconds: float = 600.0, ref: str = "") -> None:
    """Leave a file named after this process, and sleep."""
    (Path(folder) / f"{os.getpid()}.pid").write_text(ref)
    time.sleep(seconds)
