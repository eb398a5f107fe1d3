"""What a run of the pipeline came to. Records only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from components.types.evaluation import Verdict


@dataclass(frozen=True)
class StageOutcome:
    """One stage of a run."""

    stage: str
    verdict: str
    """unchanged, restored or ran."""
    seconds: float


@dataclass(frozen=True)
class BadBatch:
    """A batch that is in quarantine."""

    name: str
    version: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Intake:
    """What a look at an incremental source came to."""

    model: str
    batches: int
    """How many the dataset is made of now."""
    rows: int
    new: tuple[str, ...]
    """Those that the last good dataset did not hold in this version."""
    late: tuple[str, ...]
    """Of the new ones, those that came after one that stands behind them."""
    corrected: tuple[str, ...]
    """Of the new ones, those that replace an earlier version."""
    removed: tuple[str, ...]
    """Those that the last good dataset held, and somebody dropped."""
    quarantined: tuple[BadBatch, ...]
    """Found bad by this look."""
    held: tuple[BadBatch, ...]
    """Found bad before, and not changed since."""
    gone: int
    """How many are at the source no more; their rows stay."""

    @property
    def is_refused(self) -> bool:
        """Whether something was bad and nothing good was new, or there is nothing good at all."""
        return not self.batches or (bool(self.quarantined) and not self.new and not self.removed)

    @property
    def sentences(self) -> tuple[str, ...]:
        """What a person should know, the bad first."""
        lines = [f"QUARANTINED: batch {bad.name}: {'; '.join(bad.reasons)}" for bad in self.quarantined]
        lines += [f"still in quarantine: batch {bad.name}: {'; '.join(bad.reasons)}" for bad in self.held]
        news = (
            f"{len(self.new)} new ({len(self.late)} late, {len(self.corrected)} corrected)" if self.new else "none new"
        )
        removed = f", {len(self.removed)} dropped" if self.removed else ""
        lines.append(f"batches of {self.model}: {self.batches} with {self.rows} rows, {news}{removed}")
        return tuple(lines)


@dataclass(frozen=True)
class RunOutcome:
    """A run that ended well; one that did not raises an error instead."""

    model: str
    up_to_date: bool
    """Whether there was nothing to do at all."""
    seconds: float
    winner: str | None = None
    """The training that was chosen on the validation split."""
    version: int | None = None
    """The registered version; stable in the local environment unless registration was not asked for."""
    challenger: bool = False
    """Whether it is the local challenger instead, and waits for a person."""
    taken_back: bool = False
    """Whether it is neither, because a person took it back locally."""
    mlflow_run_id: str | None = None
    flow_run_id: str | None = None
    stages: tuple[StageOutcome, ...] = ()
    reasons: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Why the stages that ran did so."""
    verdicts: tuple[Verdict, ...] = ()
    sentences: tuple[str, ...] = ()
    """What a person should know at the end: where to look, what is stable now."""
    batches: Intake | None = None
    """What of an incremental source was taken and what was left out; None for a source that is read as a whole."""
