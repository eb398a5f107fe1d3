"""Training state that survives a kill: whole or not there, newest first. Knows nothing of what a framework stores.

A checkpoint is a folder ``epoch-<number>/`` with ``state.json``, the metrics so far, and ``framework/``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.stage.files import whole_directory

STATE_FILE = "state.json"
FRAMEWORK_DIR = "framework"


class Checkpoints:
    """The checkpoints of one task, in a folder of its own."""

    def __init__(self, directory: Path) -> None:
        """Use `directory`, which need not exist."""
        self._directory = directory

    def latest(self) -> Path | None:
        """Return the newest complete checkpoint."""
        return max(self._directory.glob("epoch-*"), default=None)

    def state(self, checkpoint: Path) -> dict[str, Any]:
        """Return what was stored with a checkpoint."""
        content: dict[str, Any] = json.loads((checkpoint / STATE_FILE).read_text(encoding="utf-8"))
        return content

    def save(self, epoch: int, state: dict[str, Any], metrics: Path, framework: Callable[[Path], None]) -> None:
        """Store a checkpoint, then remove the older ones.

        Args:
            epoch: The last finished epoch.
            state: Plain JSON types.
            metrics: The file of metrics so far; copied.
            framework: Writes the framework's own state into the folder it is given.
        """
        older = list(self._directory.glob("epoch-*"))
        target = self._directory / f"epoch-{epoch:08d}"
        with whole_directory(target) as folder:
            (folder / FRAMEWORK_DIR).mkdir()
            framework(folder / FRAMEWORK_DIR)
            shutil.copyfile(metrics, folder / metrics.name)
            (folder / STATE_FILE).write_text(json.dumps(state, allow_nan=False), encoding="utf-8")
        for path in older:
            if path != target:
                shutil.rmtree(path, ignore_errors=True)
