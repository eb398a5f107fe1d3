"""The `gates` section of a model's configuration: every gate is on, with defaults, until it is set to null here."""

from __future__ import annotations

import math

from pydantic import Field, field_validator

from components.stage.config import Section
from components.stage.files import record_digest


class BaselineGate(Section):
    """The winner is not worse than the baseline."""

    training: str | None = None
    """The baseline's name; by default the only training of kind `sklearn`."""
    margin: float = Field(default=0.02, ge=0, allow_inf_nan=False)
    """How much worse the winner may be; see `components.evaluation.gates.margins` for its unit."""


class ChampionGate(Section):
    """The candidate is not worse than the champion, on the same rows and with confidence."""

    margin: float = Field(default=0.02, ge=0, allow_inf_nan=False)
    """How much worse the candidate may be, at the unfavourable end of the interval."""
    confidence: float = Field(default=0.9, gt=0.5, lt=1)
    """The share of resamples inside the interval of the paired difference."""


class SlicesGate(Section):
    """No slice is much worse than all rows together."""

    metric: str | None = None
    """What is compared; by default accuracy or rmse, which every slice has."""
    max_drop: float = Field(default=0.15, ge=0, allow_inf_nan=False)
    """How much worse a slice may be than all rows, in the unit of a margin."""
    min_rows: int = Field(default=30, ge=1)
    """Slices with fewer rows say too little to refuse a model, and are not judged."""


class ParityGate(Section):
    """The exported graph predicts what its framework predicted."""

    bound: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """The largest absolute difference; by default the bound that the training was exported under."""


class SizeGate(Section):
    """The product is not larger than can be served."""

    max_bytes: int = Field(default=200_000_000, gt=0)
    """The largest graph."""


class LatencyGate(Section):
    """The product answers fast enough, measured now and here."""

    p95_ms: float = Field(default=50.0, gt=0, allow_inf_nan=False)
    """The 95th percentile of the time that one row takes, in milliseconds, in process."""


class GatesSection(Section):
    """What a model must meet before it may be registered as a champion."""

    absolute: dict[str, float] = Field(min_length=1)
    """A bound per metric on the test split: the least that is enough where higher is better, the most elsewhere."""
    baseline: BaselineGate | None = BaselineGate()
    champion: ChampionGate | None = ChampionGate()
    slices: SlicesGate | None = None
    """On as soon as `evaluation.slices` names a column."""
    parity: ParityGate | None = ParityGate()
    size: SizeGate | None = SizeGate()
    latency: LatencyGate | None = LatencyGate()

    @field_validator("absolute")
    @classmethod
    def _finite(cls, bounds: dict[str, float]) -> dict[str, float]:
        for metric, bound in bounds.items():
            if not math.isfinite(bound):
                raise ValueError(f"the bound of `{metric}` is {bound}; give a finite number")
        return bounds

    @property
    def digest(self) -> str:
        """SHA-256 of the section with its defaults: two runs with one digest were judged alike."""
        return record_digest(self.model_dump(mode="json"))
