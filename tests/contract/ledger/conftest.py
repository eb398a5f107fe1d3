"""Three registered versions of one model in a fresh ledger, and the moves that tests make with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy

from components.release.ledger import Ledger
from components.release.records import (
    Approval,
    Decision,
    Digests,
    Evidence,
    Lease,
    RecordedVersion,
    Slot,
    Transition,
    VersionState,
)
from components.types.record import canonical_json
from components.types.release import Environment

NOON = "2026-01-05T12:00:00.000000+00:00"


class Taxi:
    """The model ``taxi`` in one environment of one ledger."""

    model = "taxi"

    def __init__(self, url: str, env: Environment) -> None:
        self.url, self.env = url, env
        self.ledger = Ledger(url, lock_wait_s=5)

    def elsewhere(self, env: Environment) -> Taxi:
        return Taxi(self.url, env)

    @property
    def slot(self) -> Slot:
        return self.ledger.slot(self.model, self.env)

    def recorded(self, number: int) -> RecordedVersion:
        return RecordedVersion(self.model, number, f"{number:064x}", "d" * 64, "onnx", "ada")

    def transition(self, version: int, target: str, evidence: str = "3" * 64, **to: Any) -> Transition:
        """Propose a move from what stands there now; `to` is what it changes."""
        slot = self.slot
        return Transition(
            model=self.model,
            env=self.env,
            expected_rev=slot.rev,
            version=version,
            target=target,
            to=replace(slot.placement, **to),
            digests=Digests(f"{version:064x}", "d" * 64, "0c0ffee", "1" * 64, "2" * 64, evidence),
            actor="ada",
            reason="the gates passed",
            version_state=VersionState(target) if target in ("rejected", "quarantined") else None,
        )

    def move(
        self, version: int, target: str, sinks: Sequence[str] = (), lease: Lease | None = None, **changes: Any
    ) -> Slot:
        if "evidence" not in changes:
            decision = self.found(version, "decision", {"target": target})
            self.ledger.add_evidence(decision)
            changes["evidence"] = decision.digest
        return self.ledger.commit(self.transition(version, target, **changes), sinks=sinks, lease=lease)

    def found(self, version: int, kind: str, content: Any, **changes: Any) -> Evidence:
        evidence = Evidence(
            model=self.model,
            env=self.env,
            version=version,
            artifact_digest=f"{version:064x}",
            kind=kind,
            rev=self.slot.rev,
            content=canonical_json(content),
            gathered_at=NOON,
            gathered_by="grace",
        )
        return replace(evidence, **changes)

    def approval(self, version: int, target: str, **changes: Any) -> Approval:
        word = Approval(
            model=self.model,
            env=self.env,
            version=version,
            artifact_digest=f"{version:064x}",
            target=target,
            rev=self.slot.rev,
            actor="grace",
            decision=Decision.APPROVE,
            reason="looks well",
            at=NOON,
            expires_at="2026-01-06T12:00:00.000000+00:00",
        )
        return replace(word, **changes)

    def decided(self, version: int, target: str, approvals: Sequence[Approval] = (), **to: Any) -> Slot:
        """Move a version with a decision, as a release does it: what was found, who approved, and then the event."""
        gates = self.found(version, "gates", {"clean": True})
        self.ledger.add_evidence(gates)
        for approval in approvals:
            self.ledger.add_approval(approval)
        content = {"target": target, "evidence": [gates.digest], "approvals": list(approvals)}
        decision = self.found(version, "decision", content)
        self.ledger.add_evidence(decision)
        return self.move(version, target, evidence=decision.digest, **to)

    @property
    def findings(self) -> tuple[str, ...]:
        return self.ledger.verify(self.model, self.env).findings

    def tamper(self, *statements: str) -> int:
        """Change the database behind the ledger's back; return how many rows were changed."""
        engine = sqlalchemy.create_engine(self.url, poolclass=sqlalchemy.NullPool)
        with engine.begin() as connection:
            return sum(connection.exec_driver_sql(statement).rowcount for statement in statements)


@pytest.fixture
def taxi(ledger_url: str) -> Taxi:
    taxi = Taxi(ledger_url, Environment.PRODUCTION)
    for number in (1, 2, 3):
        taxi.ledger.record_version(taxi.recorded(number))
    return taxi
