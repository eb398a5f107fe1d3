"""A release plan: how long, how many, how sure, and who must agree. A YAML file; says nothing about one model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from components.errors import ConfigError, UnknownNameError
from components.stage.config import Section, check_section, nearest, read_yaml
from components.stage.files import record_digest
from components.types.release import JudgeSettings

PLANS_DIR = Path("pipelines/configs/plans")


class EntryStep(Section):
    """What a version must show before it gets any traffic in an environment."""

    requests: int = Field(default=1_000, ge=1)
    """Real rows replayed against a sandboxed server; the answers must equal the offline prediction."""
    sandbox_requests: int = Field(default=100, ge=1)
    """Real rows that a sandboxed server must answer before a version may stand in staging."""
    tolerance: float = Field(default=1e-5, gt=0, allow_inf_nan=False)
    """The largest absolute difference that still counts as equal."""
    latency_p95_ms: float = Field(default=50.0, gt=0, allow_inf_nan=False)
    """The 95th percentile of single rows through the sandboxed server, at most."""
    load_requests_per_s: float = Field(default=100.0, gt=0, allow_inf_nan=False)
    """What the load test must sustain without a failed request."""
    load_s: float = Field(default=5.0, gt=0, allow_inf_nan=False)
    """How long the load test lasts."""


class ShadowStep(Section):
    """What the shadow must show before users see the version."""

    requests: int = Field(default=5_000, ge=1)
    """Mirrored requests."""
    seconds: float = Field(default=1_800, ge=0, allow_inf_nan=False)
    max_psi: float = Field(default=0.2, gt=0, allow_inf_nan=False)
    """Largest population stability index of the predictions against the stable version's."""
    psi_min: int = Field(default=300, ge=1)
    """Fewer predictions than this are insufficient, which holds."""


class CanaryStep(Section):
    """One traffic weight and its gate."""

    weight: int = Field(ge=1, le=99)
    """The canary's share of the users in percent."""
    requests: int = Field(default=300, ge=1)
    """Canary requests in this step."""
    seconds: float = Field(default=1_800, ge=0, allow_inf_nan=False)


class RampSection(Section):
    """What every canary step must show before the next one."""

    max_bad_ratio: float = Field(default=2.0, gt=0, allow_inf_nan=False)
    """The upper bound of bad events is at most so many times the stable version's rate …"""
    max_bad_rate: float = Field(default=0.01, gt=0, lt=1, allow_inf_nan=False)
    """… or at most this rate, whichever is larger."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Of the one-sided upper bound."""
    label_errors: bool = True
    """Whether label errors must meet the bound as well, wherever labels arrive at all. Where they arrive too late to
    count within a step, false leaves them to the judge alone, and is said aloud."""


class PauseSection(Section):
    """When a rollout stops by itself and waits for a person."""

    no_data_s: float = Field(default=300, gt=0, allow_inf_nan=False)
    metric_errors: int = Field(default=4, ge=1)
    """So many observations in a row that failed."""
    split_p: float = Field(default=1e-4, gt=0, lt=1)
    """The observed split of users is less likely than this under the weight."""
    inconclusive_s: float = Field(default=86_400, gt=0, allow_inf_nan=False)
    """A step that met neither its guards nor an alarm for so long."""
    roll_back_after_s: float = Field(default=86_400, gt=0, allow_inf_nan=False)
    """A pause that nobody ended for so long."""


class BakeSection(Section):
    """The time after a promotion in which the previous version stays warm, and comes back by itself when need be."""

    seconds: float = Field(default=86_400, ge=0, allow_inf_nan=False)
    slo: float = Field(default=0.999, gt=0, lt=1)
    """The share of requests that must not fail."""
    burn_rate: float = Field(default=14.4, gt=0, allow_inf_nan=False)
    """Rolls back when the error budget burns so many times faster than allowed, in both windows …"""
    min_failures: int = Field(default=3, ge=1)
    """… and so many requests failed in the longer one: with little traffic a single failure burns any budget."""
    long_window_s: float = Field(default=3_600, gt=0, allow_inf_nan=False)
    short_window_s: float = Field(default=300, gt=0, allow_inf_nan=False)


class ApprovalsSection(Section):
    """Who must agree; the author never counts."""

    stable: int = Field(default=1, ge=0)
    """Approvals before STABLE. 0 is for a laptop, and is said aloud."""
    expire_s: float = Field(default=86_400, gt=0, allow_inf_nan=False)


class JudgeSection(Section):
    """The canary judge; see `components.types.release.JudgeSettings`."""

    threshold: float = Field(default=100.0, gt=1, allow_inf_nan=False)
    rate_ratio: float = Field(default=1.25, ge=1, allow_inf_nan=False)
    breaker_failures: int = Field(default=3, ge=1)
    breaker_requests: int = Field(default=20, ge=1)
    time_limit_s: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    psi_bins: int = Field(default=10, ge=2)


class ReleasePlan(Section):
    """How a version gets from its first request to all of them."""

    entry: EntryStep = EntryStep()
    shadow: ShadowStep | None = ShadowStep()
    """null leaves the shadow out, and is said aloud."""
    canary: tuple[CanaryStep, ...] = (CanaryStep(weight=5), CanaryStep(weight=25), CanaryStep(weight=50))
    """Rising weights; an empty list goes straight to stable, and is said aloud."""
    ramp: RampSection = RampSection()
    pause: PauseSection = PauseSection()
    bake: BakeSection = BakeSection()
    approvals: ApprovalsSection = ApprovalsSection()
    judge: JudgeSection = JudgeSection()
    confirm_s: float = Field(default=30.0, gt=0, allow_inf_nan=False)
    """How long the servers may take to report a new revision before it is rolled back."""

    @model_validator(mode="after")
    def _weights_rise(self) -> ReleasePlan:
        weights = [step.weight for step in self.canary]
        if weights != sorted(set(weights)):
            raise ValueError(f"the canary weights are {weights}; expected each larger than the one before")
        return self

    @model_validator(mode="after")
    def _steps_end_before_they_are_inconclusive(self) -> ReleasePlan:
        seconds = [step.seconds for step in self.canary] + ([self.shadow.seconds] if self.shadow else [])
        longest = max(seconds, default=0.0)
        if longest >= (limit := self.pause.inconclusive_s):
            raise ValueError(
                f"a step lasts {longest:g} s and would be paused as inconclusive after {limit:g} s; "
                "raise pause.inconclusive_s or shorten the step"
            )
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of the plan with its defaults: two rollouts with one digest were judged alike."""
        return record_digest(self.model_dump(mode="json"))

    @property
    def judge_settings(self) -> JudgeSettings:
        """What the gateway is told.

        Each step at which the judge may speak, the shadow as well as every weight, has 1 / (steps * threshold) of the
        error: together they abort a version as good as stable with a probability of at most 1 / threshold. A step that
        was paused and resumed is judged anew, which adds its share once more for each of the two revisions.
        """
        psi_min = self.shadow.psi_min if self.shadow else ShadowStep().psi_min
        steps = len(self.canary) + (self.shadow is not None)
        return JudgeSettings(steps=max(1, steps), psi_min=psi_min, **self.judge.model_dump())


def plan_schema() -> dict[str, Any]:
    """Return the JSON schema of a plan's file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Towpath release plan",
        "type": "object",
        "properties": {"plan": ReleasePlan.model_json_schema()},
        "required": ["plan"],
        "additionalProperties": False,
    }


def load_plan(name: str, root: Path = Path()) -> ReleasePlan:
    """Return a plan by its file's name.

    Raises:
        UnknownNameError: there is no such plan.
        ConfigError: something in it is wrong.
    """
    folder = root / PLANS_DIR
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        raise UnknownNameError(
            f"no release plan `{name}`{nearest(name, known)}; there are: {', '.join(known) or 'none'}"
        )
    path = folder / f"{name}.yaml"
    content = read_yaml(path)
    if set(content) != {"plan"}:
        raise ConfigError(f"{path}: expected one key `plan`, found {', '.join(map(str, content)) or 'nothing'}")
    return check_section(content["plan"] or {}, ReleasePlan, path, "plan")
