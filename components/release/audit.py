"""What a check of a slot finds beside its chain: versions, evidence and approvals that are not what events rest on.

A chain proves its events; an event proves its decision by the digest of it; a decision proves what it names (see
`decision`). What no event rests on yet is held to its own row's digest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.engine import Connection

from components.release import chain, rows, tables
from components.release.decision import KIND, Stored, findings_of
from components.release.records import Event, RecordedVersion
from components.stage.files import record_digest, text_digest
from components.types.release import Environment


def audit(
    connection: Connection, model: str, env: Environment, events: Sequence[Event]
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Check all that is stored beside a slot's events.

    Returns:
        One sentence for each thing that is wrong, and the revisions whose decision is not stored.
    """
    evidence = _rows(connection, tables.evidence, model, env)
    approvals = _rows(connection, tables.approval, model, env)
    versions = {version.version: version for version in rows.versions_of(connection, model)}
    decisions = {row["digest"]: row for row in evidence if row["kind"] == KIND}
    findings = _of_versions(versions, rows.state_events_of(connection, model), events)
    findings += [finding for row in evidence for finding in _of_evidence(row)]
    findings += [finding for row in approvals for finding in _of_approval(row)]
    stored = Stored(
        versions, frozenset(row["digest"] for row in evidence), frozenset(row["row_digest"] for row in approvals)
    )
    for event in events:
        if event.evidence_digest in decisions:
            findings += findings_of(event, decisions[event.evidence_digest]["content"], stored)
        else:
            findings += _of_missing(event, decisions.values(), env)
    unbacked = tuple(event.rev for event in events if event.evidence_digest not in decisions)
    return tuple(findings), unbacked


def _of_versions(
    versions: Mapping[int, RecordedVersion], changes: Sequence[Event], events: Sequence[Event]
) -> list[str]:
    findings = []
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
    if _row_digest(row) != row["row_digest"]:
        return [f"{where} was edited"]
    return []


def _of_approval(row: Mapping[str, Any]) -> list[str]:
    if _row_digest(row) != row["row_digest"]:
        return [f"an approval by {row['actor']} at revision {row['rev']} was edited (row {row['id']})"]
    return []


def _of_missing(event: Event, decisions: Iterable[Mapping[str, Any]], env: Environment) -> list[str]:
    """Find a decision that was deleted, or rewritten together with its digests and stands where the event's own should.

    The local environment has no rollout: an event may rest on verdicts there that only the registry keeps.
    """
    place = (event.rev - 1, event.version)
    if any((row["rev"], row["version"]) == place for row in decisions):
        return [f"the decision that event {event.rev} rests on was replaced by another"]
    if env is not Environment.LOCAL:
        return [f"the decision that event {event.rev} rests on is missing"]
    return []


def _rows(connection: Connection, table: Table, model: str, env: Environment) -> list[Mapping[str, Any]]:
    query = select(table).where(table.c.model == model, table.c.env == env.value).order_by(table.c.id)
    return [row._asdict() for row in connection.execute(query)]


def _row_digest(row: Mapping[str, Any]) -> str:
    """Return the digest of the record that was stored; the columns beside it are the table's own."""
    return record_digest({name: value for name, value in row.items() if name not in {"id", "digest", "row_digest"}})
