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
    mlflow_run_id: str | None = None
    flow_run_id: str | None = None
    stages: tuple[StageOutcome, ...] = ()
    reasons: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Why the stages that ran did so."""
    verdicts: tuple[Verdict, ...] = ()
    sentences: tuple[str, ...] = ()
    """What a person should know at the end: where to look, what is stable now."""
