"""What the gates judge: numbers, each beside the digest of what it was measured on. Knows no threshold."""

from __future__ import annotations

from dataclasses import dataclass

from components.types.evaluation import Direction, Evaluation
from components.types.tfx import ModelAnalysis


@dataclass(frozen=True)
class Parity:
    """How far the exported graph is from its framework, on the validation split."""

    product_digest: str
    largest_difference: float
    bound: float
    """What the training was exported under."""


@dataclass(frozen=True)
class Size:
    """How large a product is."""

    product_digest: str
    bytes: int


@dataclass(frozen=True)
class Latency:
    """How long a product takes, measured in process on real rows."""

    product_digest: str
    row_p50_ms: float
    row_p95_ms: float
    batch_p50_ms: float
    batch_p95_ms: float
    batch_rows: int
    threads: int


@dataclass(frozen=True)
class ChampionComparison:
    """The candidate and the champion on the same rows of the test split."""

    candidate_digest: str
    champion_digest: str
    dataset_digest: str
    rows: int
    metric: str
    direction: Direction
    candidate: float
    champion: float
    improvement: float
    """By how much the candidate is better; negative when it is worse, whichever way the metric goes."""
    low: float
    high: float
    """The interval of `improvement`."""
    confidence: float


@dataclass(frozen=True)
class NoChampion:
    """The ledger says that no version stands there yet."""

    reason: str


@dataclass(frozen=True)
class Waiver:
    """A person's word that one candidate need not be compared with one champion; it holds for no other two."""

    champion_digest: str
    candidate_digest: str
    actor: str
    reason: str
    at: str
    """UTC, ISO 8601."""
    expires_at: str
    """UTC, ISO 8601; whoever brings the waiver leaves out one that has expired."""


@dataclass(frozen=True)
class UnscorableChampion:
    """A champion stands there and cannot predict the current rows."""

    champion_digest: str
    reason: str
    waiver: Waiver | None = None


@dataclass(frozen=True)
class NotAnalysed:
    """The training is of a kind that makes no analysis of its own, so there is nothing to be judged."""

    kind: str


@dataclass(frozen=True)
class GateEvidence:
    """All that the gates may look at; None stands for evidence that nobody brought, which is refused."""

    product_digest: str
    """What is judged."""
    dataset_digest: str
    candidate: Evaluation
    baseline: Evaluation | None
    champion: ChampionComparison | NoChampion | UnscorableChampion | None
    slice_columns: tuple[str, ...]
    """The columns by which the candidate was to be sliced."""
    parity: Parity | None
    size: Size | None
    latency: Latency | None
    analysis: ModelAnalysis | NotAnalysed | None
