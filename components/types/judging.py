"""What is known of a rollout while it runs: counts, e-values, alarms. Judges nothing; crosses process boundaries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from components.types.release import Role


class BadEvent(StrEnum):
    """A way in which a request can go wrong; counted at most once per user and kind."""

    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    INVALID_OUTPUT = "invalid_output"
    SLOW = "slow"
    """Slower than the stable version's own 95th percentile."""
    LABEL_ERROR = "label_error"


FAILURES = frozenset({BadEvent.SERVER_ERROR, BadEvent.TIMEOUT, BadEvent.INVALID_OUTPUT})
"""What the breaker counts."""


@dataclass(frozen=True)
class ArmReport:
    """One version that answers users, since the revision that put it there."""

    version: int
    requests: int
    users: int
    """Distinct users, or request ids where nobody said who asks."""
    bad: Mapping[str, int]
    """Bad events by kind, at most one per user and kind."""
    labelled: int
    """Requests whose true label arrived."""
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    idle_s: float | None
    """Seconds since its latest request; None before the first."""


@dataclass(frozen=True)
class ShadowReport:
    """A shadow beside the stable version, request by request."""

    version: int
    mirrored: int
    """Requests that both answered."""
    dropped: int
    """Requests that were not compared: too many waited for the shadow, or its process died with their answers."""
    bad: Mapping[str, int]
    """The shadow's own bad events by kind."""
    stable_bad: Mapping[str, int]
    """The stable version's, on the mirrored requests."""
    only_shadow_bad: int
    """Requests on which the shadow alone was wrong or failed (discordant pairs)."""
    only_stable_bad: int
    differing: int
    """Requests on which the two predictions differ."""
    labelled: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    idle_s: float | None


@dataclass(frozen=True)
class Drift:
    """How far the new version's predictions are from the stable one's."""

    psi: float | None
    """Population stability index; None means insufficient."""
    rows: int
    """Predictions on the smaller side."""


@dataclass(frozen=True)
class JudgeReport:
    """All that the judge knows about one model at one revision, over all workers of a gateway."""

    model: str
    rev: int
    seconds: float
    """Since the gateway took this revision over."""
    weight: int
    """The canary's share in effect: 0 once an alarm, the breaker or the kill switch spoke."""
    stable: ArmReport | None
    canary: ArmReport | None
    shadow: ShadowReport | None
    e_values: Mapping[str, float]
    """By kind of bad event; in shadow the paired comparison's own."""
    e_value: float
    """The average over kinds, spread over the steps."""
    drift: Drift
    split_p: float | None
    """How likely the observed split of users is under the weight; None with too few."""
    alarm: str | None = None
    """Why the judge spoke, in a sentence; it stays."""
    breaker: str | None = None
    killed: bool = False
    """Whether a person set the canary to 0 on this machine."""
    threshold: float = 100.0
    """The e-value at which the judge raises its alarm, as its settings say."""


@dataclass(frozen=True)
class Health:
    """One role of one model over a window, as its servers saw it."""

    role: Role
    version: int | None
    requests: int
    bad: Mapping[str, int]
    window_s: float
    """The window that was really covered."""


@dataclass(frozen=True)
class WorkerStatus:
    """What one gateway process serves."""

    worker: int
    pid: int
    alive_s: float
    """Seconds since it last said so."""
    revs: Mapping[str, int]
    """The revision served completely, by model."""
    loaded: Mapping[str, tuple[int, ...]]
    """The versions that are loaded and warm, by model."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """Why a model is not at what the snapshot says."""


@dataclass(frozen=True)
class GatewayStatus:
    """What a gateway answers on ``GET /release/status``."""

    workers: tuple[WorkerStatus, ...]
    reports: Mapping[str, JudgeReport]
    """By model."""
