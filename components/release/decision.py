"""What a decision proves: the evidence, the approvals and the version's row that an event rests on. Pure.

A decision is a piece of evidence of the kind ``decision``; an event names it by its digest. Its content is JSON with
``evidence`` (a list of digests), ``approvals`` (a list of approvals) and ``version`` (a recorded version), each of
which may be left out, and with whatever else it was decided by, which is not looked at here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from components.release.records import Approval, Event, RecordedVersion
from components.stage.files import record_digest
from components.types.record import load

KIND = "decision"


@dataclass(frozen=True)
class Stored:
    """What the ledger has beside the chain."""

    versions: Mapping[int, RecordedVersion]
    evidence: frozenset[str]
    """The digests of all evidence."""
    approvals: frozenset[str]
    """The digests of all approvals."""


def findings_of(event: Event, content: str, stored: Stored) -> list[str]:
    """Return a sentence for everything that an event's decision names and that is not there, or not as it was."""
    try:
        decision = _Decision.read(content)
    except ValueError:
        return [f"the decision that event {event.rev} rests on cannot be read"]
    findings = [
        f"evidence {digest[:12]}, which event {event.rev} rests on, is missing"
        for digest in decision.evidence
        if digest not in stored.evidence
    ]
    findings += [
        f"an approval by {approval.actor} that event {event.rev} rests on is missing or was edited"
        for approval in decision.approvals
        if record_digest(approval) not in stored.approvals
    ]
    now = stored.versions.get(event.version)
    if decision.version and now and replace(now, state=decision.version.state) != decision.version:
        findings.append(f"version {event.version} was edited: event {event.rev} rests on another row of it")
    return findings


@dataclass(frozen=True)
class _Decision:
    evidence: tuple[str, ...] = ()
    approvals: tuple[Approval, ...] = ()
    version: RecordedVersion | None = None

    @classmethod
    def read(cls, content: str) -> _Decision:
        payload: Any = json.loads(content)
        if not isinstance(payload, dict):
            raise ValueError("a decision is a JSON object")
        return load(cls, {key: payload[key] for key in ("evidence", "approvals", "version") if key in payload})
