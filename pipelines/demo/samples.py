"""What the judge knew while a story went on: asked a few times a second, beside everything else. Judges nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from components.errors import TowpathError
from components.types.judging import JudgeReport
from pipelines.release.environments import EnvironmentConfig

_EVERY_S = 0.2


@dataclass(frozen=True)
class Sample:
    """The judge's word at one time."""

    at_s: float
    """Since the first one."""
    rev: int
    weight: int
    e_value: float
    version: int | None
    """The version on its way."""
    role: str
    """``shadow``, ``canary``, or empty."""


class Sampler:
    """Keeps what the judge said."""

    def __init__(self, env: EnvironmentConfig, model: str) -> None:
        """Take whom to ask."""
        self.samples: list[Sample] = []
        self._env, self._model = env, model
        self._begun = time.monotonic()
        self._stopped = threading.Event()

    @property
    def now_s(self) -> float:
        """Seconds since the first sample."""
        return time.monotonic() - self._begun

    @contextmanager
    def running(self) -> Iterator[Sampler]:
        """Ask for the length of the block."""
        asker = threading.Thread(target=self._ask, daemon=True)
        asker.start()
        try:
            yield self
        finally:
            self._stopped.set()
            asker.join()

    def _ask(self) -> None:
        target = self._env.target(self._model)
        while not self._stopped.wait(_EVERY_S):
            try:
                report = target.judged()
            except TowpathError:
                continue
            if report is not None:
                self.samples.append(_sample(self.now_s, report))


def _sample(at_s: float, report: JudgeReport) -> Sample:
    arm = report.canary or report.shadow
    role = "canary" if report.canary else "shadow" if report.shadow else ""
    return Sample(at_s, report.rev, report.weight, report.e_value, arm.version if arm else None, role)
