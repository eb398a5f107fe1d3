"""A gateway's shared folder: who serves what, totals for metrics, and the rollouts' boards. Judges nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from secrets import randbits
from typing import Any

import orjson

from components.serving.board.kill_switch import KillSwitch
from components.serving.board.mapped_file import write_whole
from components.serving.board.rollout_board import RolloutBoard, remove_rollouts
from components.serving.board.stops import Stops
from components.serving.board.windows import Windows, remove_windows
from components.types.judging import WorkerStatus
from components.types.kill_switch import Killed
from components.types.release import Role, TrafficSplit

Totals = Mapping[str, Mapping[str, float]]

_LEAST_ROWS = 8


class Board:
    """The folder as one worker sees it; files survive a restart of the worker."""

    def __init__(
        self,
        folder: Path,
        worker: int = 0,
        workers: int = 1,
        predecessor: int | None = None,
        kill_switch: KillSwitch | None = None,
    ) -> None:
        """Join the workers.

        Args:
            folder: Shared by all workers of one gateway, and by no other gateway.
            worker: Which one this is, from 0.
            workers: How many there are.
            predecessor: The exit code of the process that was this worker before, negative for a signal; None when
                the gateway has just started.
            kill_switch: What may set canaries to 0 by hand.
        """
        self.folder = folder
        self.worker = worker
        self.predecessor = predecessor
        self._kill_switch = kill_switch
        self._lineages: dict[str, tuple[Stops, ...]] = {}
        self._untidy: dict[str, TrafficSplit] = {}
        self._heard: dict[int, dict[str, Any]] = {}
        """What each worker said when the folder was last read."""
        self.process = randbits(62)
        """A token of this process's life."""
        self._rows = max(workers, worker + 1, _LEAST_ROWS)
        with suppress(OSError):  # a full disk is no reason not to serve; `beat` will say so
            for name in ("workers", "totals"):
                (folder / name).mkdir(parents=True, exist_ok=True)
        self._before: Totals = _read_json(self._totals_file)

    def rollout(self, split: TrafficSplit) -> RolloutBoard:
        """Return a rollout's board.

        Raises:
            InfrastructureError: its files cannot be kept.
        """
        known = self._lineages.get(split.model, ())
        board = RolloutBoard(self.folder / "rollouts" / split.model, split, self.worker, self._rows, known)
        self._lineages[split.model] = board.lineage
        self._untidy[split.model] = split
        return board

    @property
    def is_untidy(self) -> bool:
        """Whether there may be files that nobody needs."""
        return bool(self._untidy)

    def tidy(self) -> None:
        """Remove the files of long before; takes a disk's time, and may be called in any thread."""
        while self._untidy:
            model, split = self._untidy.popitem()
            remove_rollouts(self.folder / "rollouts" / model, split)
            remove_windows(self.folder / "windows" / model, split.versions)

    def killed(self, model: str) -> Killed | None:
        """Return for what a person wants no canary of `model`, or None."""
        return None if self._kill_switch is None else self._kill_switch.held(model)

    def windows(self, model: str, role: Role, version: int) -> Windows:
        """Return what happened to a version in a role lately.

        Raises:
            InfrastructureError: its file cannot be kept.
        """
        return Windows(self.folder / "windows" / model, role, version, self.worker, self._rows)

    def beat(self, revs: Mapping[str, int], loaded: Mapping[str, tuple[int, ...]], problems: Mapping[str, str]) -> None:
        """Say that this worker lives, and what it serves.

        Raises:
            OSError: it cannot be written.
        """
        about = {"pid": os.getpid(), "at_s": time.monotonic(), "revs": revs, "loaded": loaded, "problems": problems}
        write_whole(self.folder / "workers" / f"{self.worker}.json", orjson.dumps(about))

    def workers(self) -> tuple[WorkerStatus, ...]:
        """Return every worker that ever said what it serves, in order; what cannot be read now, as it was read last."""
        with suppress(OSError):  # no descriptor is left: the others serve on all the same
            paths = (self.folder / "workers").glob("[0-9]*.json")
            self._heard = {int(path.stem): about for path in paths if (about := _read_json(path))}
        now_s, found = time.monotonic(), []
        for number, about in sorted(self._heard.items()):
            loaded = {model: tuple(versions) for model, versions in about["loaded"].items()}
            alive_s = max(0.0, now_s - about["at_s"])
            found.append(WorkerStatus(number, about["pid"], alive_s, about["revs"], loaded, about["problems"]))
        return tuple(found)

    def publish(self, totals: Totals) -> None:
        """Replace this worker's own totals since its start: figures by name, under a key (say, model and version).

        Raises:
            OSError: they cannot be written.
        """
        write_whole(self._totals_file, orjson.dumps(_added([self._before, totals])))

    def totals(self) -> dict[str, dict[str, float]]:
        """Return the totals of all workers together, those of workers that were restarted since included."""
        return _added([_read_json(path) for path in sorted((self.folder / "totals").glob("[0-9]*.json"))])

    @property
    def _totals_file(self) -> Path:
        return self.folder / "totals" / f"{self.worker}.json"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return orjson.loads(path.read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return {}


def _added(parts: list[Totals]) -> dict[str, dict[str, float]]:
    whole: dict[str, dict[str, float]] = {}
    for part in parts:
        for key, figures in part.items():
            into = whole.setdefault(key, {})
            for name, figure in figures.items():
                into[name] = into.get(name, 0) + figure
    return whole
