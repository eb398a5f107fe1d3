"""Approvals as rows: a person's word, added once. Which of them count is not said here."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.engine import Connection

from components.release import rows, tables
from components.release.database import insert_missing
from components.release.evidence_rows import require_bytes
from components.release.records import Approval, Decision
from components.stage.files import record_digest
from components.types.record import dump
from components.types.release import Environment

_RECORD = [column for column in tables.approval.c if column.name not in {"id", "row_digest"}]


def add(connection: Connection, approval: Approval) -> None:
    """Store an approval; the same again, to the last field, is stored once.

    Raises:
        UnknownNameError: the version was never recorded.
        GateRefusedError: it is about other bytes than the version's.
    """
    require_bytes(rows.version_of(connection, approval.model, approval.version), approval.artifact_digest, "approval")
    insert_missing(connection, tables.approval, **dump(approval), row_digest=record_digest(approval))


def of_model(connection: Connection, model: str, env: Environment) -> tuple[Approval, ...]:
    """Return everything that was said about a model's steps in an environment, oldest first."""
    table = tables.approval
    query = select(*_RECORD).where(table.c.model == model, table.c.env == env.value).order_by(table.c.id)
    return tuple(
        Approval(**{**row._asdict(), "env": env, "decision": Decision(row.decision)})
        for row in connection.execute(query)
    )
