"""What a rollout is judged by, and what may come of it: records only. Knows no plan, no database and no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from components.release.records import Approval, Placement, RecordedVersion
from components.types.evaluation import Verdict
from components.types.judging import Health, JudgeReport


@dataclass(frozen=True)
class RolloutEvidence:
    """All that the state machine may look at; what is None or absent was not brought, and never lets anything pass."""

    now: datetime
    """UTC; the caller's, so that the machine is a pure function."""
    subject: RecordedVersion
    """The version that is on its way (candidate, shadow or canary), or in bake time the stable one."""
    step_began: datetime
    """When the slot's present revision was committed."""
    stored: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The newest stored evidence by kind, as plain JSON; only rows that are bound to the subject's digest."""
    report: JudgeReport | None = None
    """The judge's newest word; None when the target could not be asked."""
    metric_errors: int = 0
    """Observations that failed in a row, up to now."""
    approvals: tuple[Approval, ...] = ()
    """All rows for this model and environment; which of them count is the machine's to say."""
    previous_loadable: bool | None = None
    """Whether the version that a rollback would go back to was verified loadable now; None where nobody looked."""
    served_rev: int | None = None
    """The revision that all servers report; None when they could not be asked."""
    stable_health: Mapping[float, Health] = field(default_factory=dict)
    """By window in seconds; for the burn rate in bake time."""


@dataclass(frozen=True)
class Advance:
    """Commit the next placement."""

    target: str
    """``shadow``, ``canary:5``, ``stable``, …"""
    to: Placement
    verdicts: tuple[Verdict, ...]
    """All passed."""


@dataclass(frozen=True)
class Hold:
    """Wait; nothing is wrong."""

    verdicts: tuple[Verdict, ...]
    """What is still missing is in the reasons of those that did not pass."""
    needs_person: bool = False
    """Whether only an approval is missing, or a pause waits to be ended."""


@dataclass(frozen=True)
class Pause:
    """Stop raising exposure and wait for a person."""

    to: Placement
    reason: str
    verdicts: tuple[Verdict, ...] = ()


@dataclass(frozen=True)
class RollBack:
    """Take the version out of the traffic; in bake time put the previous one back."""

    to: Placement
    reason: str
    verdicts: tuple[Verdict, ...] = ()


Action = Advance | Hold | Pause | RollBack
