"""What is stored about a version before it gets traffic: numbers beside the digest they were measured on. No bounds.

One record per kind of evidence; its content in the ledger is the record's canonical JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.types.evaluation import Verdict

GATES, SANDBOX, CONTRACT, REPLAY, LOAD = "gates", "sandbox", "contract", "replay", "load"
"""The kinds."""


@dataclass(frozen=True)
class GatesEvidence:
    """What the gates said when the version was registered, and of what code it was made."""

    product_digest: str
    verdicts: tuple[Verdict, ...]
    """All of them, in their order; none at all is refused."""
    gate_config_digest: str
    clean: bool
    """Whether the tree had no uncommitted change but `dvc.lock`."""
    patch_digest: str
    """Of the uncommitted changes; empty where there were none."""
    suite_passed: bool
    """Whether the data met its expectation suite, which was not empty."""


@dataclass(frozen=True)
class SandboxEvidence:
    """A server of its own loaded the version and answered single rows."""

    product_digest: str
    requests: int
    """How many were sent."""
    failed: int
    """How many of them got anything but a valid answer."""
    p95_ms: float
    """As the client saw it."""


@dataclass(frozen=True)
class ContractEvidence:
    """Whether a client of the stable version could talk to this one."""

    product_digest: str
    compatible: bool
    reasons: tuple[str, ...]
    """One sentence each; also when compatible."""
    against_version: int | None
    """The version that was stable in the environment; None where nothing was."""


@dataclass(frozen=True)
class GoldenRow:
    """A replayed row that whoever is to serve the version must answer as well, before it is committed."""

    request: str
    """The body, as a client would send it."""
    outputs: Mapping[str, Any]
    """The offline prediction, as a client gets it."""


@dataclass(frozen=True)
class ReplayEvidence:
    """Real rows sent through a server, compared with the offline prediction."""

    product_digest: str
    requests: int
    distinct: int
    """How many of the rows differ from one another."""
    unequal: int
    """Answers that are missing, of another label, or further from the offline prediction than `tolerance`."""
    largest_difference: float
    """Of all numbers; absolute."""
    tolerance: float
    """Under which `unequal` was counted."""
    golden: tuple[GoldenRow, ...]
    """A few of the rows."""


@dataclass(frozen=True)
class LoadEvidence:
    """What a server did under load."""

    product_digest: str
    requests_per_s: float
    """Answered, sustained over `seconds`."""
    seconds: float
    failed: int
    p99_ms: float


StoredEvidence = GatesEvidence | SandboxEvidence | ContractEvidence | ReplayEvidence | LoadEvidence

KINDS: dict[str, type[StoredEvidence]] = {
    GATES: GatesEvidence,
    SANDBOX: SandboxEvidence,
    CONTRACT: ContractEvidence,
    REPLAY: ReplayEvidence,
    LOAD: LoadEvidence,
}
"""The record of each kind."""
