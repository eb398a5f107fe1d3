"""The ledger's core: versions, slots and events. Written out, because a migration must not change with the tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the three tables."""
    op.create_table(
        "version",
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("version", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("dataset_digest", sa.String(64), nullable=False),
        sa.Column("runtime", sa.String(40), nullable=False),
        sa.Column("author", sa.String(200), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.PrimaryKeyConstraint("model", "version", name="pk_version"),
    )
    roles = ("stable", "canary", "shadow", "previous")
    op.create_table(
        "slot",
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("env", sa.String(20), nullable=False),
        sa.Column("rev", sa.Integer, nullable=False),
        *(sa.Column(role, sa.Integer) for role in roles),
        sa.Column("weight", sa.Integer, nullable=False),
        sa.Column("paused", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("model", "env", name="pk_slot"),
        *(_version_key(role, f"fk_slot_{role}") for role in roles),
        sa.CheckConstraint("weight BETWEEN 0 AND 100", name="ck_slot_weight"),
    )
    digests = ("artifact", "data", "lock", "gate_config", "evidence")
    op.create_table(
        "event",
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("env", sa.String(20), nullable=False),
        sa.Column("rev", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("op_id", sa.String(36), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("target", sa.String(40), nullable=False),
        sa.Column("from_slot", sa.Text, nullable=False),
        sa.Column("to_slot", sa.Text, nullable=False),
        *(sa.Column(f"{name}_digest", sa.String(64), nullable=False) for name in digests),
        sa.Column("code_digest", sa.String(200), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("time", sa.String(40), nullable=False),
        sa.Column("prev_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("model", "env", "rev", name="pk_event"),
        sa.UniqueConstraint("op_id", name="uq_event_op_id"),
        _version_key("version", "fk_event_version"),
    )


def _version_key(column: str, name: str) -> sa.ForeignKeyConstraint:
    key = ["version.model", "version.version"]
    return sa.ForeignKeyConstraint(["model", column], key, name=name, deferrable=True, initially="DEFERRED")
