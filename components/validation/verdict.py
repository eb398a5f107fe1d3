"""What the validate stage says: the record in ``verdict.json``. Standard library only; others read it for lineage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

VERDICT_FILE = "verdict.json"


@dataclass(frozen=True)
class CheckOutcome:
    """What one of our own checks says; each of them refuses."""

    check: str
    success: bool
    columns: tuple[str, ...]
    """The columns at fault."""
    reason: str
    """One sentence, without any of the table's values; also when it passed."""


@dataclass(frozen=True)
class ExpectationOutcome:
    """What one expectation says."""

    index: int
    """Its place in the suite, from 0."""
    type: str
    columns: tuple[str, ...]
    severity: str
    success: bool
    observed: Any
    """What was measured, as plain JSON; null for expectations about each value."""
    unexpected_count: int | None
    """How many values do not meet it; null for expectations about the whole."""
    checked_count: int | None
    """How many values it looked at: missing ones and those outside its row condition are not among them."""
    reason: str
    """Why it failed, without any of the table's values; empty when it passed."""


@dataclass(frozen=True)
class ValidationVerdict:
    """What the validate stage wrote (`VERDICT_FILE`); nothing in it differs from run to run."""

    model: str
    success: bool
    """Whether nothing critical failed."""
    dataset_digest: str
    suite_name: str
    suite_digest: str
    rows: int
    great_expectations: str | None
    """Its version; null when our own checks refused the table before it was asked."""
    checks: tuple[CheckOutcome, ...]
    expectations: tuple[ExpectationOutcome, ...]

    @property
    def failed(self) -> dict[str, int]:
        """How many expectations were not met, by severity."""
        severities = ("critical", "warning", "info")
        return {
            severity: sum(not each.success and each.severity == severity for each in self.expectations)
            for severity in severities
        }
