"""Evidence as rows: added once, each with the digest of its content and of itself. Knows no kind of evidence."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.engine import Connection

from components.errors import GateRefusedError
from components.release import rows, tables
from components.release.database import insert_missing
from components.release.records import Evidence, RecordedVersion
from components.stage.files import record_digest
from components.types.record import dump
from components.types.release import Environment

_RECORD = [column for column in tables.evidence.c if column.name not in {"id", "digest", "row_digest"}]


def add(connection: Connection, evidence: Evidence) -> None:
    """Store a piece of evidence; the same again, to the last field, is stored once.

    Raises:
        UnknownNameError: the version was never recorded.
        GateRefusedError: it was gathered on other bytes than the version's.
    """
    require_bytes(rows.version_of(connection, evidence.model, evidence.version), evidence.artifact_digest, "evidence")
    digests = {"digest": evidence.digest, "row_digest": record_digest(evidence)}
    insert_missing(connection, tables.evidence, **dump(evidence), **digests)


def of_version(
    connection: Connection, model: str, env: Environment, version: int, kind: str | None
) -> tuple[Evidence, ...]:
    """Return what was found out about a version, newest first."""
    table = tables.evidence
    query = select(*_RECORD).where(table.c.model == model, table.c.env == env.value, table.c.version == version)
    if kind is not None:
        query = query.where(table.c.kind == kind)
    return tuple(_to_evidence(row) for row in connection.execute(query.order_by(table.c.id.desc())))


def newest(connection: Connection, version: RecordedVersion, env: Environment) -> dict[str, Evidence]:
    """Return the newest evidence of every kind that is bound to the version's bytes."""
    table = tables.evidence
    ids = (
        select(func.max(table.c.id))
        .where(
            table.c.model == version.model,
            table.c.env == env.value,
            table.c.version == version.version,
            table.c.artifact_digest == version.digest,
        )
        .group_by(table.c.kind)
    )
    found = connection.execute(select(*_RECORD).where(table.c.id.in_(ids)).order_by(table.c.kind))
    return {row.kind: _to_evidence(row) for row in found}


def require_bytes(version: RecordedVersion, digest: str, what: str) -> None:
    """Refuse evidence or an approval that is about other bytes than the recorded version's.

    Raises:
        GateRefusedError: it is.
    """
    if version.digest != digest:
        raise GateRefusedError(
            f"version {version.version} of {version.model} is product {version.digest[:12]}, the {what} is of "
            f"{digest[:12]} and says nothing about it"
        )


def _to_evidence(row: Row[Any]) -> Evidence:
    values = row._asdict()
    return Evidence(**{**values, "env": Environment(values["env"])})
