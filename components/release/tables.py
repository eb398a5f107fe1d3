"""The ledger's tables, and the schema's revision. Knows nothing of what a transition means."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

SCHEMA_REVISION = "0002"
"""The newest migration; a ledger that says so is current, without asking Alembic."""
VERSION_TABLE = "towpath_ledger_version"
"""Alembic's table for this schema (MLflow's own is ``alembic_version``: both may share a database)."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_1_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

version = Table(
    "version",
    metadata,
    Column("model", String(200), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("digest", String(64), nullable=False),
    Column("dataset_digest", String(64), nullable=False),
    Column("runtime", String(40), nullable=False),
    Column("author", String(200), nullable=False),
    Column("state", String(20), nullable=False),
)

_VERSION_KEY = ["version.model", "version.version"]
_ROLES = ("stable", "canary", "shadow", "previous", "candidate")

slot = Table(
    "slot",
    metadata,
    Column("model", String(200), primary_key=True),
    Column("env", String(20), primary_key=True),
    Column("rev", Integer, nullable=False),
    *(Column(role, Integer) for role in _ROLES),
    Column("weight", Integer, nullable=False),
    Column("paused", Boolean, nullable=False),
    *(ForeignKeyConstraint(["model", role], _VERSION_KEY, deferrable=True, initially="DEFERRED") for role in _ROLES),
    CheckConstraint("weight BETWEEN 0 AND 100", name="weight"),
)

event = Table(
    "event",
    metadata,
    Column("model", String(200), primary_key=True),
    Column("env", String(20), primary_key=True),
    Column("rev", Integer, primary_key=True, autoincrement=False),
    Column("op_id", String(36), nullable=False),
    Column("version", Integer, nullable=False),
    Column("target", String(40), nullable=False),
    Column("from_slot", Text, nullable=False),
    Column("to_slot", Text, nullable=False),
    Column("artifact_digest", String(64), nullable=False),
    Column("data_digest", String(64), nullable=False),
    Column("code_digest", String(200), nullable=False),
    Column("lock_digest", String(64), nullable=False),
    Column("gate_config_digest", String(64), nullable=False),
    Column("evidence_digest", String(64), nullable=False),
    Column("actor", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("time", String(40), nullable=False),
    Column("prev_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    UniqueConstraint("op_id"),
    ForeignKeyConstraint(["model", "version"], _VERSION_KEY, deferrable=True, initially="DEFERRED"),
)

evidence = Table(
    "evidence",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model", String(200), nullable=False),
    Column("env", String(20), nullable=False),
    Column("version", Integer, nullable=False),
    Column("artifact_digest", String(64), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("rev", Integer, nullable=False),
    Column("content", Text, nullable=False),
    Column("gathered_at", String(40), nullable=False),
    Column("gathered_by", String(200), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("row_digest", String(64), nullable=False),
    UniqueConstraint("row_digest"),
    ForeignKeyConstraint(["model", "version"], _VERSION_KEY, deferrable=True, initially="DEFERRED"),
    Index(None, "model", "env", "version", "kind"),
)
"""`digest` is the content's, which events name; `row_digest` is the whole row's, so that the same row is there once."""

approval = Table(
    "approval",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model", String(200), nullable=False),
    Column("env", String(20), nullable=False),
    Column("version", Integer, nullable=False),
    Column("artifact_digest", String(64), nullable=False),
    Column("target", String(40), nullable=False),
    Column("rev", Integer, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("decision", String(20), nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", String(40), nullable=False),
    Column("expires_at", String(40), nullable=False),
    Column("row_digest", String(64), nullable=False),
    UniqueConstraint("row_digest"),
    ForeignKeyConstraint(["model", "version"], _VERSION_KEY, deferrable=True, initially="DEFERRED"),
    Index(None, "model", "env"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model", String(200), nullable=False),
    Column("env", String(20), nullable=False),
    Column("rev", Integer, nullable=False),
    Column("sink", String(200), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("error", Text, nullable=False),
    Column("applied_at", String(40)),
    UniqueConstraint("model", "env", "rev", "sink"),
    ForeignKeyConstraint(
        ["model", "env", "rev"], ["event.model", "event.env", "event.rev"], deferrable=True, initially="DEFERRED"
    ),
    Index(None, "env", "applied_at"),
)
"""`applied_at` is null as long as the row is to be applied."""

lease = Table(
    "lease",
    metadata,
    Column("name", String(300), primary_key=True),
    Column("holder", String(200), nullable=False),
    Column("fence", Integer, nullable=False),
    Column("ttl_s", Float, nullable=False),
    Column("expires_at", String(40), nullable=False),
)
"""A row stays after its lease is over: its fence may never start anew."""
