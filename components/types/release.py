"""The words of a release: roles, references and traffic. Knows nothing of how traffic is moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class Environment(StrEnum):
    """Where a version may stand."""

    LOCAL = "local"
    STAGING = "staging"
    PRODUCTION = "production"


class Role(StrEnum):
    """What a version does in a slot."""

    STABLE = "stable"
    CANARY = "canary"
    SHADOW = "shadow"
    PREVIOUS = "previous"
    """Was stable before; stays loaded and warm, and gets no traffic."""


@dataclass(frozen=True)
class ModelRef:
    """A pinned version: never an alias."""

    model: str
    version: int
    digest: str
    """The product's digest."""


@dataclass(frozen=True)
class PlacedModel:
    """A pinned version whose bytes are in the content-addressed store of this machine."""

    ref: ModelRef
    directory: Path
    runtime: str


@dataclass(frozen=True)
class TrafficSplit:
    """Which version answers what share of a model's requests, at one revision of its slot."""

    model: str
    rev: int
    """The ledger's revision: whoever comes with a lower one is turned away."""
    stable: int | None = None
    canary: int | None = None
    shadow: int | None = None
    previous: int | None = None
    weight: int = 0
    """The canary's share of the users in percent."""

    def version(self, role: Role) -> int | None:
        """Return the version in a role."""
        found: int | None = getattr(self, role.value)
        return found

    @property
    def versions(self) -> frozenset[int]:
        """Every version that is named."""
        named = (self.stable, self.canary, self.shadow, self.previous)
        return frozenset(version for version in named if version is not None)


@dataclass(frozen=True)
class JudgeSettings:
    """What the judge in the gateway is told; the defaults are the canary judge's own (docs/release-engineer.md)."""

    threshold: float = 100.0
    """The e-value at which a version is stopped: 100 stops at most 1 % of releases that are as good as stable."""
    rate_ratio: float = 1.25
    """H0: the canary's rate of bad events is at most this many times the stable version's."""
    steps: int = 1
    """Over how many steps, the shadow among them, the release's error probability is spread: each e-value is divided
    by it, so that every step errs with a probability of at most 1 / (steps * threshold)."""
    breaker_failures: int = 3
    """So many failures among the first `breaker_requests` canary requests set the weight to 0 at once."""
    breaker_requests: int = 20
    time_limit_s: float = 1.0
    """A canary or shadow that takes longer has timed out; the stable version answers in the canary's place."""
    psi_bins: int = 10
    psi_min: int = 300
    """With fewer predictions on either side a population stability index says nothing: "insufficient"."""


@dataclass(frozen=True)
class ModelRoute:
    """What a gateway needs to serve one model."""

    split: TrafficSplit
    loaded: Mapping[str, PlacedModel] = field(default_factory=dict)
    """Every version that is to be loaded and warm, by its number as text: those of the split, and one that is being
    prepared. May change without a new revision; the split may not."""
    judge: JudgeSettings = JudgeSettings()
    prepared: Mapping[str, int] = field(default_factory=dict)
    """By role: the version that was loaded for it and not let go of yet, whatever the split says. A gateway need not
    look at it; it says why a version of `loaded` is there."""


@dataclass(frozen=True)
class RouterSnapshot:
    """What a gateway serves: written whole (temp, fsync, rename), each model fenced by its own revision."""

    sequence: int
    """Counts the writes of this file; says nothing about a model."""
    models: Mapping[str, ModelRoute]
    """By model name."""
