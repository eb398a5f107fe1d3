"""What a rollout is judged by, and what may come of it: records only. Knows no plan, no database and no clock."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from components.release.records import Approval, Placement, RecordedVersion
from components.types.evaluation import Verdict
from components.types.judging import Health, JudgeReport

ROLLED_BACK, ROLLBACK = "rolled_back", "rollback"
"""Targets of events: a version left its rollout; the previous version became stable again."""


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
    older_loadable: bool | None = None
    """While a version is on its way, whether the slot's previous version was verified loadable now: in bake time the
    stable one may have to give way to it. None where nobody looked."""
    served_rev: int | None = None
    """The revision that all servers report; None when they could not be asked."""
    stable_health: Mapping[float, Health] = field(default_factory=dict)
    """By window in seconds; for the burn rate in bake time."""
    behind_since: datetime | None = None
    """When the servers were first seen behind the slot's revision, in a row up to now: servers that reported it once
    and then started anew have as long to catch up as after a commit. None counts from the step's beginning."""
    stable_since: datetime | None = None
    """When the stable version was promoted: the bake time counts from then, so that a rollout that came to nothing does
    not begin it anew. None where it came back by a rollback, or nobody knows: then there is no bake time, because the
    previous version would be the one that was rolled back."""
    mismatch: str | None = None
    """Whose bytes were found not to be those that were promised, in a sentence; None where nobody found any."""

    @property
    def elapsed_s(self) -> float:
        """Seconds since the step began; NaN, which passes no guard, where a time has no zone."""
        return seconds_between(self.step_began, self.now)

    @property
    def baked_s(self) -> float:
        """Seconds since the stable version was promoted; NaN where nobody knows of that, or a time has no zone."""
        return seconds_between(self.stable_since, self.now) if self.stable_since else math.nan


def seconds_between(earlier: datetime, later: datetime) -> float:
    """Return the seconds from one time to another; NaN where one of them has no zone."""
    if earlier.tzinfo is None or later.tzinfo is None:
        return math.nan
    return (later - earlier).total_seconds()


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
    """Whether it will not go on by itself: only an approval is missing, a pause waits to be ended, or something is
    wrong that no step of the plan can mend."""


@dataclass(frozen=True)
class Pause:
    """Stop raising exposure and wait for a person."""

    to: Placement
    reason: str
    verdicts: tuple[Verdict, ...] = ()


@dataclass(frozen=True)
class RollBack:
    """Take the version out of the traffic; in bake time put the previous one back, which ends what is on its way."""

    to: Placement
    reason: str
    verdicts: tuple[Verdict, ...] = ()
    target: str = ROLLED_BACK
    """What the event says: `ROLLED_BACK` for a version on its way, `ROLLBACK` for the stable one in bake time."""


Action = Advance | Hold | Pause | RollBack
