"""Scores of two versions counted in the same bins, by all workers together. Computes no index.

The bins are quantiles of stable's own first scores. Until all workers together have enough of them, scores wait; then
one worker chooses for all.
"""

from __future__ import annotations

import logging

import numpy as np

from components.judge import psi
from components.serving.board.layout import ROLES, SCORE_BINS
from components.serving.board.rollout_board import RolloutBoard
from components.serving.judging.evidence import STABLE
from components.serving.judging.predictions import Outputs, scores_of
from components.types.release import JudgeSettings

MOST_WAITING = 2_000

log = logging.getLogger("towpath.gateway")


class DriftCounts:
    """What this worker adds to the counts."""

    def __init__(self, rollout: RolloutBoard, settings: JudgeSettings) -> None:
        self._rollout = rollout
        self._bins = min(settings.psi_bins, SCORE_BINS - 2)
        self._enough = settings.psi_min
        self._waiting: list[list[float]] = [[] for _ in ROLES]
        self._sampled = 0
        self._edges: np.ndarray | None = None
        self._has_failed = False

    def add(self, role: int, outputs: Outputs) -> None:
        """Keep what a version answered for the next `flush`."""
        waiting = self._waiting[role]
        if len(waiting) < MOST_WAITING:
            waiting += scores_of(outputs)

    def flush(self) -> None:
        """Count what waits, if there are bins; a disk that fails costs the drift, and nothing else that is judged."""
        if not any(self._waiting):
            return
        if self._edges is None:
            try:
                self._edges = self._chosen()
            except (OSError, ValueError) as error:  # a full disk; a file that a power cut emptied
                if not self._has_failed:
                    log.error("the bins of scores cannot be kept in %s: %s", self._rollout.folder, error)
                self._has_failed = True
        if self._edges is None:
            return
        for role, scores in enumerate(self._waiting):
            if scores:
                counts = psi.counts(scores, self._edges)
                self._rollout.own["arms"]["scores"][0, role, : len(counts)] += counts
                self._waiting[role] = []

    def _chosen(self) -> np.ndarray | None:
        if (edges := self._rollout.edges()) is None:
            ours = self._waiting[STABLE]
            self._rollout.add_to_sample(ours[self._sampled :])
            self._sampled = len(ours)
            sample = self._rollout.sample()
            if len(sample) < self._enough:
                return None
            self._rollout.choose_edges(psi.edges(sample, self._bins).tolist())
            edges = self._rollout.edges()
        return None if edges is None else np.array(edges)
