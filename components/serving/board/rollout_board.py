"""One model's rollout at one revision: counts of all workers, who was seen, what was predicted. Judges nothing.

Files of one folder, made by whichever worker comes first; each worker writes its own row only, and reads all of them.
They outlive workers and gateways: an alarm that was raised stays raised.
"""

from __future__ import annotations

import json
import mmap
import shutil
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from components.serving.board.layout import LAYOUT, ROW, SAMPLE
from components.serving.board.mapped_file import open_mapped, write_once
from components.serving.board.prediction_ring import ENTRY_BYTES, PredictionRing
from components.serving.board.user_table import SIZE_BYTES, UserTable
from components.types.record import canonical_json
from components.types.release import TrafficSplit

_HEAD_BYTES = mmap.PAGESIZE
_STOP, _KILLED = 0, 1
_ALARM, _BREAKER, _EDGES = "alarm", "breaker", "edges"
_STEADY_SLOTS, _ROLLOUT_SLOTS = 1 << 15, 1 << 18


class RolloutBoard:
    """One rollout as one worker sees it.

    Raises:
        InfrastructureError: its files cannot be kept.
    """

    def __init__(self, folder: Path, split: TrafficSplit, worker: int, rows: int) -> None:
        self.folder = folder / _name(split)
        memory = open_mapped(self.folder / "counts", _HEAD_BYTES + rows * ROW.itemsize)
        count = (len(memory) - _HEAD_BYTES) // ROW.itemsize
        self.rows: np.ndarray[Any, Any] = np.frombuffer(memory, ROW, count, _HEAD_BYTES)
        """All workers' rows: read them, and add over the first axis."""
        self.own = self.rows[worker : worker + 1]
        """This worker's row, of shape (1,)."""
        self.flags = memoryview(memory)[:2]
        """Whether to stop, and whether a person said so: a byte each, for all workers at once."""
        self.users = UserTable(open_mapped(self.folder / "users", SIZE_BYTES))
        slots = _STEADY_SLOTS if split.canary is None and split.shadow is None else _ROLLOUT_SLOTS
        self.predictions = PredictionRing(open_mapped(self.folder / "predictions", slots * ENTRY_BYTES), slots)

    @property
    def is_stopped(self) -> bool:
        """Whether the canary's weight is to be 0."""
        return self.flags[_STOP] != 0

    @property
    def is_killed(self) -> bool:
        """Whether a person stopped it."""
        return self.flags[_KILLED] != 0

    def kill(self) -> None:
        """Stop it for a person."""
        self.flags[_STOP] = self.flags[_KILLED] = 1

    def raise_alarm(self, sentence: str) -> bool:
        """Stop it for the judge; return whether this is the first alarm."""
        return self._stop(_ALARM, sentence)

    def trip_breaker(self, sentence: str) -> bool:
        """Stop it for the breaker; return whether it is the first time."""
        return self._stop(_BREAKER, sentence)

    @property
    def alarm(self) -> str | None:
        """What the judge said."""
        return self._text(_ALARM)

    @property
    def breaker(self) -> str | None:
        """What the breaker said."""
        return self._text(_BREAKER)

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
        text = self._text(_EDGES)
        return None if text is None else json.loads(text)

    def choose_edges(self, edges: Sequence[float]) -> None:
        """Choose the bins for all workers; who is first has chosen."""
        write_once(self.folder / _EDGES, json.dumps(list(edges)).encode())

    def _stop(self, name: str, sentence: str) -> bool:
        self.flags[_STOP] = 1  # first of all: the words may fail, as on a full disk
        return write_once(self.folder / name, sentence.encode())

    def _text(self, name: str) -> str | None:
        try:
            return (self.folder / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None


def remove_rollouts(folder: Path, split: TrafficSplit) -> None:
    """Remove the rollouts of earlier revisions, but the one before: a worker may be at it still."""
    revs = {path: int(path.name.split("-", 1)[0]) for path in folder.glob("[0-9]*-*")}
    earlier = sorted({rev for rev in revs.values() if rev < split.rev})
    for path, rev in revs.items():
        if rev in earlier[:-1]:
            shutil.rmtree(path, ignore_errors=True)


def _name(split: TrafficSplit) -> str:
    """Return a name that another split never has, also where a ledger was restored and counts its revisions anew."""
    return f"{split.rev}-{LAYOUT}{blake2b(canonical_json(split).encode(), digest_size=4).hexdigest()}"
