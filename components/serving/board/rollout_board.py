"""One model's rollout at one revision: counts of all workers, who was seen, what was predicted. Judges nothing.

Files of one folder, made by whichever worker comes first; each worker writes its own row only, and reads all of them.
They outlive workers and gateways. Counts begin anew with each revision; what stopped a version stays with it: a board
stops for whatever stopped its candidate on the boards of the revisions before.
"""

from __future__ import annotations

import json
import mmap
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.serving.board.ancestry import ancestors, boards_in, candidates, name_of, rev_of
from components.serving.board.layout import ROW, SAMPLE
from components.serving.board.mapped_file import open_mapped, read_mapped, write_once
from components.serving.board.prediction_ring import ENTRY_BYTES, PredictionRing
from components.serving.board.stops import SIZE_BYTES as STOPS_BYTES
from components.serving.board.stops import Stops
from components.serving.board.user_table import SIZE_BYTES, UserTable
from components.types.release import TrafficSplit

_HEAD_BYTES = mmap.PAGESIZE
_COUNTS, _EDGES = "counts", "edges"
_STEADY_SLOTS, _ROLLOUT_SLOTS = 1 << 15, 1 << 18


class RolloutBoard:
    """One rollout as one worker sees it.

    Raises:
        InfrastructureError: its files cannot be kept.
    """

    def __init__(self, folder: Path, split: TrafficSplit, worker: int, rows: int, known: Sequence[Stops] = ()) -> None:
        """Open a rollout, or make it.

        Args:
            folder: The model's.
            split: Its traffic at one revision.
            worker: Whose row is written here.
            rows: How many there are at least.
            known: The lineage of the board of this model that this worker had before.
        """
        self.folder = folder / name_of(split)
        memory = open_mapped(self.folder / _COUNTS, _HEAD_BYTES + rows * ROW.itemsize)
        count = (len(memory) - _HEAD_BYTES) // ROW.itemsize
        self.rows: np.ndarray[Any, Any] = np.frombuffer(memory, ROW, count, _HEAD_BYTES)
        """All workers' rows: read them, and add over the first axis."""
        self.own = self.rows[worker : worker + 1]
        """This worker's row, of shape (1,)."""
        self.stops = Stops(memory, self.folder)
        self.users = UserTable(open_mapped(self.folder / "users", SIZE_BYTES))
        slots = _STEADY_SLOTS if split.canary is None and split.shadow is None else _ROLLOUT_SLOTS
        self.predictions = PredictionRing(open_mapped(self.folder / "predictions", slots * ENTRY_BYTES), slots)
        self._before = _stops_before(folder, split, known) if candidates(split) else []
        self.inherit()

    @property
    def lineage(self) -> tuple[Stops, ...]:
        """What stops the candidate: here, and at the revisions before."""
        return (self.stops, *self._before)

    def inherit(self) -> bool:
        """Stop for whatever stopped the candidate at earlier revisions; return whether anything of it is new.

        Ask again while traffic flows: a worker that is still at the revision before may stop it there.
        """
        new = [self.stops.inherit(each) for each in self._before]
        return any(new)

    def sample(self) -> np.ndarray:
        """Return the sample of stable's scores, of all workers."""
        rows = self.rows[self.rows["sampled"] > 0]
        return np.concatenate([row["sample"][: row["sampled"]] for row in rows] or [np.empty(0)])

    def add_to_sample(self, scores: Sequence[float]) -> None:
        """Keep some of stable's scores for the choice of bins."""
        begin = int(self.own["sampled"][0])
        kept = scores[: SAMPLE - begin]
        self.own["sample"][0, begin : begin + len(kept)] = kept
        self.own["sampled"] = begin + len(kept)

    def edges(self) -> list[float] | None:
        """Return the inner edges of the bins in which scores are counted, once they are chosen."""
        try:
            return json.loads((self.folder / _EDGES).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def choose_edges(self, edges: Sequence[float]) -> None:
        """Choose the bins for all workers; who is first has chosen."""
        write_once(self.folder / _EDGES, json.dumps(list(edges)).encode())


def remove_rollouts(folder: Path, split: TrafficSplit) -> None:
    """Remove the rollouts of earlier revisions, but the one before: a worker may be at it still.

    What stopped them was carried over when the board of `split` was opened.
    """
    boards = boards_in(folder)
    earlier = sorted({rev for path in boards if (rev := rev_of(path)) < split.rev})
    for path in boards:
        if rev_of(path) in earlier[:-1]:
            shutil.rmtree(path, ignore_errors=True)


def _stops_before(folder: Path, split: TrafficSplit, known: Sequence[Stops]) -> list[Stops]:
    """Return what may have stopped the split's candidate before, also on boards that were removed since."""
    mapped = {stops.folder: stops for stops in known}
    found = []
    for path in ancestors([*boards_in(folder), *mapped], split):
        if path in mapped:
            found.append(mapped[path])
        elif (memory := read_mapped(path / _COUNTS, STOPS_BYTES)) is not None:
            found.append(Stops(memory, path))
    return found
