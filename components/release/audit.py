"""What a check of a slot finds beside its chain: versions, evidence and approvals that are not what events rest on.

A chain proves its events; an event proves its decision by the digest of it; a decision proves the evidence that it
names by their digests, and the approvals by carrying them. What no event rests on yet is held to its own row's digest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.engine import Connection

from components.release import chain, rows, tables
from components.release.records import Event
from components.stage.files import record_digest, text_digest
from components.types.release import Environment

_DECISION = "decision"


def audit(
    connection: Connection, model: str, env: Environment, events: Sequence[Event]
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Check all that is stored beside a slot's events.

    Returns:
        One sentence for each thing that is wrong, and the revisions whose decision is not stored.
    """
    evidence = _rows(connection, tables.evidence, model, env)
    approvals = _rows(connection, tables.approval, model, env)
    findings = _of_versions(connection, model, events)
    for row in evidence:
        findings += _of_evidence(row)
    for row in approvals:
        if _row_digest(row, {"id", "row_digest"}) != row["row_digest"]:
            findings.append(f"an approval by {row['actor']} at revision {row['rev']} was edited (row {row['id']})")
    decisions = {row["digest"]: row for row in evidence if row["kind"] == _DECISION}
    for event in events:
        decision = decisions.get(event.evidence_digest)
        if decision is None:
            findings += _of_missing(event, decisions.values())
        else:
            findings += _of_decision(event, decision, evidence, approvals)
    unbacked = tuple(event.rev for event in events if event.evidence_digest not in decisions)
    return tuple(findings), unbacked


def _of_versions(connection: Connection, model: str, events: Sequence[Event]) -> list[str]:
    findings, changes = [], rows.state_events_of(connection, model)
    versions = {version.version: version for version in rows.versions_of(connection, model)}
    for number, version in versions.items():
        explained = chain.version_state(number, changes)
        if version.state is not explained:
            findings.append(f"version {number} is {version.state}, its events leave it {explained}")
    for event in events:
        moved = versions.get(event.version)
        if moved is None:
            findings.append(f"version {event.version}, which event {event.rev} moved, is missing")
        elif moved.digest != event.artifact_digest:
            findings.append(f"version {event.version} was edited: event {event.rev} moved other bytes")
        elif moved.dataset_digest != event.data_digest:
            findings.append(f"version {event.version} was edited: event {event.rev} moved one of other data")
    return findings


def _of_evidence(row: Mapping[str, Any]) -> list[str]:
    where = f"the {row['kind']} evidence of version {row['version']} at revision {row['rev']} (row {row['id']})"
    if text_digest(row["content"]) != row["digest"]:
        return [f"{where} was edited: its content does not have the digest that is stored"]
    if _row_digest(row, {"id", "digest", "row_digest"}) != row["row_digest"]:
        return [f"{where} was edited"]
    return []


def _of_missing(event: Event, decisions: Any) -> list[str]:
    """Find a decision that was rewritten together with its digests: it stands where the event's own should."""
    place = (event.rev - 1, event.version)
    if any((row["rev"], row["version"]) == place for row in decisions):
        return [f"the decision that event {event.rev} rests on was replaced by another"]
    return []


def _of_decision(
    event: Event,
    decision: Mapping[str, Any],
    evidence: Sequence[Mapping[str, Any]],
    approvals: Sequence[Mapping[str, Any]],
) -> list[str]:
    """Find evidence and approvals that a decision names and that are no longer there."""
    try:
        content = json.loads(decision["content"])
        named, used = content.get("evidence", []), content.get("approvals", [])
        digests = {record_digest(approval): approval for approval in used}
        missing_evidence = set(named) - {row["digest"] for row in evidence}
    except (ValueError, AttributeError, TypeError):
        return [f"the decision that event {event.rev} rests on cannot be read"]
    stored = {row["row_digest"] for row in approvals}
    return [
        *(f"evidence {digest[:12]}, which event {event.rev} rests on, is missing" for digest in missing_evidence),
        *(
            f"an approval by {approval.get('actor')} that event {event.rev} rests on is missing or was edited"
            for digest, approval in digests.items()
            if digest not in stored
        ),
    ]


def _rows(connection: Connection, table: Any, model: str, env: Environment) -> list[Mapping[str, Any]]:
    query = select(table).where(table.c.model == model, table.c.env == env.value).order_by(table.c.id)
    found: Sequence[Row[Any]] = connection.execute(query).all()
    return [row._asdict() for row in found]


def _row_digest(row: Mapping[str, Any], left_out: set[str]) -> str:
    return record_digest({name: value for name, value in row.items() if name not in left_out})
