"""What a rollout keeps beside the chain: evidence, approvals, the outbox and leases. Knows no transition."""

from __future__ import annotations

from components.release import approvals, evidence_rows, leases, outbox
from components.release.database import Database
from components.release.records import Approval, Evidence, Lease, OutboxRow, RecordedVersion
from components.release.schema import ensure_schema
from components.types.release import Environment


class RolloutRecords:
    """That half of a ledger; every method may raise `InfrastructureError`: it cannot be reached, or is locked."""

    def __init__(self, url: str, *, lock_wait_s: float = 30.0) -> None:
        """Remember where it is; its tables are made or checked at the first call.

        Args:
            url: ``sqlite:///<path>`` or ``postgresql://…``.
            lock_wait_s: How long to wait for another writer before giving up.

        Raises:
            ConfigError: the URL is none, or of a database that cannot hold a ledger.
            MissingExtraError: its driver is not installed.
        """
        self._database = Database(url, lock_wait_s)
        self._checked = False

    def add_evidence(self, evidence: Evidence) -> None:
        """Store a piece of evidence; the same again, to the last field, is stored once.

        Raises:
            UnknownNameError: the version was never recorded.
            GateRefusedError: it was gathered on other bytes than the version's.
        """
        with self._ready().writing() as connection:
            evidence_rows.add(connection, evidence)

    def evidence(self, model: str, env: Environment, version: int, *, kind: str | None = None) -> tuple[Evidence, ...]:
        """Return what was found out about a version, newest first."""
        with self._ready().reading() as connection:
            return evidence_rows.of_version(connection, model, env, version, kind)

    def newest_evidence(self, version: RecordedVersion, env: Environment) -> dict[str, Evidence]:
        """Return the newest evidence of every kind that is bound to the version's bytes; one short query."""
        with self._ready().reading() as connection:
            return evidence_rows.newest(connection, version, env)

    def add_approval(self, approval: Approval) -> None:
        """Store a person's word; the same again, to the last field, is stored once.

        Raises:
            UnknownNameError: the version was never recorded.
            GateRefusedError: it is about other bytes than the version's.
        """
        with self._ready().writing() as connection:
            approvals.add(connection, approval)

    def approvals(self, model: str, env: Environment) -> tuple[Approval, ...]:
        """Return everything that was said about a model's steps in an environment, oldest first."""
        with self._ready().reading() as connection:
            return approvals.of_model(connection, model, env)

    def pending(self, env: Environment) -> tuple[OutboxRow, ...]:
        """Return the outbox rows that are to be applied, in the order in which they were committed."""
        with self._ready().reading() as connection:
            return outbox.pending(connection, env)

    def applied(self, row: OutboxRow) -> None:
        """Mark an outbox row as done; doing so again changes nothing.

        Raises:
            UnknownNameError: the ledger has no such row.
        """
        with self._ready().writing() as connection:
            outbox.applied(connection, row)

    def failed(self, row: OutboxRow, error: str) -> None:
        """Count an attempt to apply an outbox row that failed, and keep its error; the row stays to be applied.

        Raises:
            UnknownNameError: the ledger has no such row.
        """
        with self._ready().writing() as connection:
            outbox.failed(connection, row, error)

    def acquire(self, name: str, holder: str, ttl_s: float) -> Lease:
        """Take a lease that nobody holds; its fence is higher than that of every holder before.

        Raises:
            AlreadyRunningError: somebody holds it.
        """
        with self._ready().writing() as connection:
            return leases.acquire(connection, name, holder, ttl_s)

    def renew(self, lease: Lease) -> Lease:
        """Hold a lease for as long again, counted from now.

        Raises:
            StaleRevisionError: somebody else has taken it, or it was released.
        """
        with self._ready().writing() as connection:
            return leases.renew(connection, lease)

    def release(self, lease: Lease) -> None:
        """Give a lease back; one that is somebody else's by now is left alone."""
        with self._ready().writing() as connection:
            leases.release(connection, lease)

    def _ready(self) -> Database:
        if not self._checked:
            ensure_schema(self._database)
            self._checked = True
        return self._database
