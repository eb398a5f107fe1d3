"""A gateway's shared folder: who serves what, totals for metrics, and the rollouts' boards. Judges nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from components.types.judging import WorkerStatus


class Board:
    """The folder as one worker sees it; files survive a restart of the worker."""

    def __init__(self, folder: Path, worker: int = 0) -> None:
        self.folder = folder
        self.worker = worker

    def beat(
        self, revs: Mapping[str, int], loaded: Mapping[str, tuple[int, ...]], problems: Mapping[str, str]
    ) -> None:
        """Say that this worker lives, and what it serves."""
        raise NotImplementedError

    def workers(self) -> tuple[WorkerStatus, ...]:
        """Return every worker that ever said what it serves, in order."""
        raise NotImplementedError

    def publish(self, totals: Mapping[str, Mapping[str, float]]) -> None:
        """Replace this worker's own totals since its start: figures by name, under a key (say, model and version)."""
        raise NotImplementedError

    def totals(self) -> dict[str, dict[str, float]]:
        """Return the totals of all workers together, those of workers that were restarted since included."""
        raise NotImplementedError
