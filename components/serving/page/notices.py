"""What a release engineer must not overlook: alarms, pauses, lost workers, and where ledger and gateway disagree.

Knows no HTML.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from components.serving.page.words import duration
from components.types.judging import JudgeReport, WorkerStatus
from components.types.release_view import ModelView

LOST_S = 10.0
"""A worker that has not said that it lives for so long is shown as lost."""


class Tone(StrEnum):
    """How good the news is; shown as a colour, and always as a word too."""

    GOOD = "good"
    MOVING = "moving"
    WARNING = "warning"
    BAD = "bad"
    QUIET = "quiet"


@dataclass(frozen=True)
class Notice:
    """Something that a release engineer must not overlook."""

    tone: Tone
    title: str
    text: str


@dataclass(frozen=True)
class Served:
    """What one worker serves of the model."""

    worker: int
    pid: int
    rev: int | None
    loaded: tuple[int, ...]
    alive_s: float
    problem: str


def served_by(worker: WorkerStatus, model: str) -> Served:
    """Return what a worker serves of a model."""
    rev, loaded = worker.revs.get(model), worker.loaded.get(model, ())
    return Served(worker.worker, worker.pid, rev, loaded, worker.alive_s, worker.problems.get(model, ""))


def notices_of(view: ModelView | None, report: JudgeReport | None, workers: Sequence[Served]) -> tuple[Notice, ...]:
    """Return what is to be said of a model before all else, the worst first."""
    return (*_alarms(report), *_pauses(view), *_disagreements(view, report, workers), *_problems(workers))


def _alarms(report: JudgeReport | None) -> list[Notice]:
    if report is None:
        return []
    found = []
    if report.alarm:
        found.append(Notice(Tone.BAD, "The judge raised an alarm", report.alarm))
    if report.breaker:
        found.append(Notice(Tone.BAD, "The breaker tripped", report.breaker))
    if report.killed:
        found.append(Notice(Tone.BAD, "Stopped by hand", "The kill switch on this machine holds the canary at 0 %."))
    return found


def _pauses(view: ModelView | None) -> list[Notice]:
    if view is None or not view.paused:
        return []
    text = view.next_step or "A person has to resume it, or roll it back."
    return [Notice(Tone.WARNING, "The rollout is paused", text)]


def _disagreements(view: ModelView | None, report: JudgeReport | None, workers: Sequence[Served]) -> list[Notice]:
    found = []
    if view is None:
        text = "What you see is what the gateway serves; gates, approvals and events are in the ledger."
        return [Notice(Tone.WARNING, "The ledger's view does not know this model", text)]
    behind = [each for each in workers if each.rev is not None and each.rev < view.rev]
    if behind:
        listed = ", ".join(f"worker {each.worker} at {each.rev}" for each in behind)
        text = f"The ledger is at revision {view.rev}; {listed}. If this stays, the gateway cannot load a version."
        found.append(Notice(Tone.WARNING, "The gateway is behind the ledger", text))
    if report is not None and report.rev > view.rev:
        text = f"The gateway serves revision {report.rev}; the ledger's view below is of revision {view.rev}."
        found.append(Notice(Tone.WARNING, "The ledger's view is behind", text))
    return found


def _problems(workers: Sequence[Served]) -> list[Notice]:
    found = []
    if lost := [str(each.worker) for each in workers if each.alive_s > LOST_S]:
        longest = duration(max(each.alive_s for each in workers))
        found.append(Notice(Tone.BAD, "A worker is lost", f"Not heard of for up to {longest}: {', '.join(lost)}."))
    for text in dict.fromkeys(each.problem for each in workers if each.problem):
        found.append(Notice(Tone.BAD, "A worker reports a problem", text))
    return found
