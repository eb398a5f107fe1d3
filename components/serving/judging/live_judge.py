"""One model's rollout, judged while it runs, by all workers together. Knows no HTTP, and moves no traffic itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from components.serving.board import Board
from components.types.judging import BadEvent, Health, JudgeReport
from components.types.release import JudgeSettings, Role, TrafficSplit

Outputs = Mapping[str, np.ndarray]


class LiveJudge:
    """Count what happens to a model's requests at one revision, and stop its canary when that must be.

    All methods but `running` belong to the event loop's thread.
    """

    def __init__(self, board: Board, split: TrafficSplit, settings: JudgeSettings) -> None:
        raise NotImplementedError

    @property
    def weight(self) -> int:
        """The canary's share in effect, in percent: 0 once any worker's judge, the breaker or a person said stop."""
        raise NotImplementedError

    @property
    def stopped(self) -> bool:
        """Whether the judge, the breaker or a person said stop."""
        raise NotImplementedError

    @contextmanager
    def running(self, role: Role) -> Iterator[None]:
        """Mark that a canary or shadow computes: if the process dies in here, it counts as that version's failure.

        May be used in any thread.
        """
        raise NotImplementedError

    def answered(
        self, role: Role, user: int, request: int, seconds: float, bad: BadEvent | None, outputs: Outputs | None
    ) -> None:
        """Count a request that stable or canary answered.

        A canary that failed counts as the canary's, whoever answered in its place; do not count that answer again.

        Args:
            role: STABLE or CANARY.
            user: 64-bit hash of who asked.
            request: 64-bit hash of the request id.
            seconds: The time of the prediction, the wait for a thread included.
            bad: What went wrong; slowness is found here.
            outputs: What was answered; None when nothing was.
        """
        raise NotImplementedError

    def mirrored(
        self,
        user: int,
        request: int,
        stable_outputs: Outputs,
        shadow_outputs: Outputs | None,
        stable_seconds: float,
        shadow_seconds: float,
        shadow_bad: BadEvent | None,
    ) -> None:
        """Count a request that the shadow answered beside the stable version (which `answered` counted before)."""
        raise NotImplementedError

    def dropped(self) -> None:
        """Count a request that was not mirrored because the shadow's queue was full."""
        raise NotImplementedError

    def labelled(self, request: int, label: Any) -> bool:
        """Take a request's true label; return whether its prediction is still known (one row, recent, not labelled)."""
        raise NotImplementedError

    def report(self) -> JudgeReport:
        """Return what all workers know together."""
        raise NotImplementedError

    def health(self, role: Role, window_s: float) -> Health:
        """Return one role's requests and bad events of the last `window_s` seconds, over revisions and workers."""
        raise NotImplementedError

    def flush(self) -> None:
        """Put what was counted since the last call where all workers see it."""
        raise NotImplementedError

    def obey(self, kill_rev: int | None) -> None:
        """Set the weight to 0 if the kill switch holds for this revision or a later one; it stays 0."""
        raise NotImplementedError

    def close(self) -> None:
        """Flush for the last time."""
        raise NotImplementedError
