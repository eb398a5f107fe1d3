"""The ledger's tables, and the schema's revision. Knows nothing of what a transition means."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

SCHEMA_REVISION = "0001"
"""The newest migration; a ledger that says so is current, without asking Alembic."""
VERSION_TABLE = "towpath_ledger_version"
"""Alembic's table for this schema (MLflow's own is ``alembic_version``: both may share a database)."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_1_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
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
_ROLES = ("stable", "canary", "shadow", "previous")

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
