"""Rollouts: a candidate in the slot, evidence, approvals, outbox and leases. Written out, as every migration."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the slot's candidate, and four tables."""
    with op.batch_alter_table("slot") as slot:
        slot.add_column(sa.Column("candidate", sa.Integer))
        slot.create_foreign_key(
            "fk_slot_candidate",
            "version",
            ["model", "candidate"],
            ["model", "version"],
            deferrable=True,
            initially="DEFERRED",
        )
    _create_evidence()
    _create_approval()
    _create_outbox()
    op.create_table(
        "lease",
        sa.Column("name", sa.String(300), nullable=False),
        sa.Column("holder", sa.String(200), nullable=False),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("ttl_s", sa.Float, nullable=False),
        sa.Column("expires_at", sa.String(40), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_lease"),
    )


def _create_evidence() -> None:
    op.create_table(
        "evidence",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("env", sa.String(20), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("artifact_digest", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("rev", sa.Integer, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("gathered_at", sa.String(40), nullable=False),
        sa.Column("gathered_by", sa.String(200), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("row_digest", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_evidence"),
        sa.UniqueConstraint("row_digest", name="uq_evidence_row_digest"),
        _version_key("version", "fk_evidence_version"),
    )
    op.create_index("ix_evidence_model_env_version_kind", "evidence", ["model", "env", "version", "kind"])


def _create_approval() -> None:
    op.create_table(
        "approval",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("env", sa.String(20), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("artifact_digest", sa.String(64), nullable=False),
        sa.Column("target", sa.String(40), nullable=False),
        sa.Column("rev", sa.Integer, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("decision", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", sa.String(40), nullable=False),
        sa.Column("expires_at", sa.String(40), nullable=False),
        sa.Column("row_digest", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_approval"),
        sa.UniqueConstraint("row_digest", name="uq_approval_row_digest"),
        _version_key("version", "fk_approval_version"),
    )
    op.create_index("ix_approval_model_env", "approval", ["model", "env"])


def _create_outbox() -> None:
    event_key = ["event.model", "event.env", "event.rev"]
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("env", sa.String(20), nullable=False),
        sa.Column("rev", sa.Integer, nullable=False),
        sa.Column("sink", sa.String(200), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("applied_at", sa.String(40)),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint("model", "env", "rev", "sink", name="uq_outbox_model_env_rev_sink"),
        sa.ForeignKeyConstraint(
            ["model", "env", "rev"], event_key, name="fk_outbox_env", deferrable=True, initially="DEFERRED"
        ),
    )
    op.create_index("ix_outbox_env_applied_at", "outbox", ["env", "applied_at"])


def _version_key(column: str, name: str) -> sa.ForeignKeyConstraint:
    key = ["version.model", "version.version"]
    return sa.ForeignKeyConstraint(["model", column], key, name=name, deferrable=True, initially="DEFERRED")
