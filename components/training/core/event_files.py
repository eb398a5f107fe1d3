"""TensorBoard event files, for every framework alike; nothing is written where TensorBoard is not installed."""

from __future__ import annotations

import importlib
import shutil
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from components.training.core.light_import import light_import


class EventFiles:
    """Writes scalars that ``tensorboard --logdir reports/<model>/tensorboard`` shows."""

    def __init__(self, directory: Path, *, resumed: bool) -> None:
        """Write below `directory`, which is emptied first unless the training is resumed."""
        self._writer: Any = None
        if find_spec("tensorboard") is None:
            return
        if not resumed:
            shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True, exist_ok=True)
        with light_import("tensorflow"):  # TensorBoard would load it only to open a file
            module = importlib.import_module("tensorboard.summary.writer.event_file_writer")
            self._writer = module.EventFileWriter(str(directory))

    def scalar(self, step: int, name: str, value: float) -> None:
        """Write one value."""
        if self._writer is None:
            return
        event = importlib.import_module("tensorboard.compat.proto.event_pb2")
        summary = importlib.import_module("tensorboard.compat.proto.summary_pb2")
        point = summary.Summary(value=[summary.Summary.Value(tag=name, simple_value=value)])
        self._writer.add_event(event.Event(wall_time=time.time(), step=step, summary=point))

    def close(self) -> None:
        """Flush and close."""
        if self._writer is not None:
            self._writer.close()
