"""What the ledger holds: versions, slots, transitions and events. Knows nothing of a database."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, fields
from enum import StrEnum

from components.stage.files import text_digest
from components.types.release import Environment, ModelRef

NO_HASH = "0" * 64
"""Stands before the first event of a chain."""

_OPERATIONS = uuid.UUID("5b0f6f0e-5b3f-5d0c-9a3e-7c3b1f1f0a11")


class VersionState(StrEnum):
    """What is known of a version everywhere; where it stands in one environment is the slot's to say."""

    REGISTERED = "registered"
    REJECTED = "rejected"
    QUARANTINED = "quarantined"


@dataclass(frozen=True)
class RecordedVersion:
    """A registered version as the ledger knows it."""

    model: str
    version: int
    digest: str
    """The product's digest."""
    dataset_digest: str
    runtime: str
    """The kind of runtime that serves the product."""
    author: str
    state: VersionState = VersionState.REGISTERED

    @property
    def ref(self) -> ModelRef:
        """The version, pinned."""
        return ModelRef(self.model, self.version, self.digest)


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Which versions of a model stand in an environment, and what share of the traffic the canary has."""

    stable: int | None = None
    canary: int | None = None
    shadow: int | None = None
    previous: int | None = None
    """What was stable before; what a rollback goes back to."""
    candidate: int | None = None
    """What entered the environment and has no traffic yet."""
    weight: int = 0
    """The canary's share of the traffic in percent."""
    paused: bool = False

    @property
    def versions(self) -> frozenset[int]:
        """Every version that is named."""
        named = (self.stable, self.canary, self.shadow, self.previous, self.candidate)
        return frozenset(version for version in named if version is not None)


@dataclass(frozen=True, kw_only=True)
class Slot(Placement):
    """A placement at one revision; revision 0 means that nothing was ever placed."""

    model: str
    env: Environment
    rev: int

    @property
    def placement(self) -> Placement:
        """The placement alone."""
        return Placement(**{each.name: getattr(self, each.name) for each in fields(Placement)})

    def at(self, rev: int, placement: Placement) -> Slot:
        """Return this slot with another placement and revision."""
        named = {each.name: getattr(placement, each.name) for each in fields(Placement)}
        return Slot(model=self.model, env=self.env, rev=rev, **named)


@dataclass(frozen=True)
class Digests:
    """What a transition rests on; none may be empty, because missing evidence is a refusal."""

    artifact: str
    """The digest of the product that is moved."""
    data: str
    code: str
    """The git commit, and where the tree was dirty the patch's digest after a ``+``."""
    lock: str
    """Of the environment's locks."""
    gate_config: str
    evidence: str
    """Of the gates' verdicts, or of whatever else let it through."""


@dataclass(frozen=True)
class Transition:
    """One proposed move of one version; proposing the same twice is the same operation."""

    model: str
    env: Environment
    expected_rev: int
    """The revision of the slot on which the proposal rests."""
    version: int
    """The version that is moved."""
    target: str
    """Where it is moved to: ``stable``, ``shadow``, ``canary:5``, …"""
    to: Placement
    """The whole placement afterwards."""
    digests: Digests
    actor: str
    reason: str
    version_state: VersionState | None = None
    """What the version becomes everywhere, in the same transaction; `target` must be its value
    (``rejected``, ``quarantined``)."""

    @property
    def op_id(self) -> str:
        """The operation's name: the same proposal always has the same one."""
        return operation_id(self.model, self.env, self.expected_rev, self.version, self.target)


@dataclass(frozen=True)
class Event:
    """A transition that happened; `hash` covers `prev_hash` and every other field."""

    op_id: str
    model: str
    env: Environment
    rev: int
    version: int
    target: str
    from_slot: str
    """Canonical JSON of the placement before."""
    to_slot: str
    """Canonical JSON of the placement after."""
    artifact_digest: str
    data_digest: str
    code_digest: str
    lock_digest: str
    gate_config_digest: str
    evidence_digest: str
    actor: str
    reason: str
    time: str
    """UTC, ISO 8601; for people: the order is that of `rev`, whatever the clocks say."""
    prev_hash: str
    hash: str


@dataclass(frozen=True)
class Evidence:
    """Something that was found out about a version; bound to its bytes, so that it says nothing about others."""

    model: str
    env: Environment
    version: int
    artifact_digest: str
    """The product that it was gathered on."""
    kind: str
    """``gates``, ``sandbox``, ``contract``, ``replay``, ``load``, ``observation``, ``decision``, ``plan``, …"""
    rev: int
    """The slot's revision while it was gathered."""
    content: str
    """Canonical JSON of a record or of plain JSON types."""
    gathered_at: str
    """UTC, ISO 8601."""
    gathered_by: str

    @property
    def digest(self) -> str:
        """SHA-256 of `content`; what an event's `evidence_digest` names."""
        return text_digest(self.content)


class Decision(StrEnum):
    """What a person says of a step that waits."""

    APPROVE = "approve"
    REJECT = "reject"


@dataclass(frozen=True)
class Approval:
    """A person's word on one step of one version; it holds for nothing else, and not for ever."""

    model: str
    env: Environment
    version: int
    artifact_digest: str
    target: str
    """The step that it allows: ``stable``, ``canary:5``, …"""
    rev: int
    """The slot's revision on which it rests; at any other it is void."""
    actor: str
    decision: Decision
    reason: str
    at: str
    """UTC, ISO 8601."""
    expires_at: str
    """UTC, ISO 8601."""


@dataclass(frozen=True)
class OutboxRow:
    """One thing that must become true outside the ledger because of an event; written in the event's transaction."""

    id: int
    model: str
    env: Environment
    rev: int
    sink: str
    """``router``, ``aliases``, ``repository:<name>``, ``webhook:<name>``, ``page``."""
    attempts: int
    error: str
    """Of the latest attempt; empty before the first."""


@dataclass(frozen=True)
class Lease:
    """The right to work alone on something until it expires; a holder that comes back late is fenced off."""

    name: str
    """What is worked on, for example ``rollout/breast_cancer/production``."""
    holder: str
    fence: int
    """Grows with every new holder; a write that carries an older one is refused."""
    expires_at: str
    """UTC, ISO 8601."""


@dataclass(frozen=True)
class Head:
    """The end of a chain; one kept elsewhere proves later that nothing before it was changed or cut off."""

    model: str
    env: Environment
    rev: int
    hash: str


@dataclass(frozen=True)
class Export:
    """A chain to be kept elsewhere; as JSON it is all that `chain.verify` needs."""

    head: Head
    slot: Slot
    events: tuple[Event, ...]


@dataclass(frozen=True)
class Verification:
    """What a check of one chain found."""

    head: Head
    findings: tuple[str, ...] = field(default=())
    """One sentence for each thing that is wrong; empty when the chain is whole."""
    unbacked: tuple[int, ...] = field(default=())
    """Revisions whose decision is not stored here. In the local environment that is no finding: the event's digest
    still proves what is kept elsewhere."""

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


def operation_id(model: str, env: Environment, expected_rev: int, version: int, target: str) -> str:
    """Return the name of an operation: UUID 5 over what is proposed and on which revision it rests."""
    return str(uuid.uuid5(_OPERATIONS, "\n".join([model, env.value, str(expected_rev), str(version), target])))
