"""Releases without servers: an environment whose target is in memory, plans without waiting, reports of the judge."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from components.release.plan import ReleasePlan
from components.release.protocol import DeploymentTarget
from components.release.records import Slot
from components.release.targets.memory import MemoryTarget
from components.types.judging import ArmReport, BadEvent, Drift, JudgeReport, ShadowReport
from components.types.release import ModelRef
from pipelines.release.environments import EnvironmentConfig

MODEL = "taxi"
NONE_BAD = {kind.value: 0 for kind in BadEvent}


@dataclass(frozen=True)
class MemoryEnvironment(EnvironmentConfig):
    """An environment whose servers are a `MemoryTarget`."""

    memory: MemoryTarget = field(default_factory=lambda: MemoryTarget(MODEL))

    def target(self, model: str, plan: ReleasePlan | None = None) -> DeploymentTarget:
        assert model == MODEL
        return self.memory


def ref(env: EnvironmentConfig, version: int) -> ModelRef:
    """Return a recorded version, pinned."""
    return env.ledger().version(MODEL, version).ref


def quick_plan(**changes: object) -> ReleasePlan:
    """Return a plan without waiting, so that a step is decided by its counts alone."""
    content = {
        "shadow": {"requests": 300, "seconds": 0},
        "canary": [{"weight": 5, "requests": 300, "seconds": 0}, {"weight": 50, "requests": 300, "seconds": 0}],
        "approvals": {"stable": 0},
    }
    return ReleasePlan.model_validate(content | changes)


def arm(version: int, requests: int = 2_000, **bad: int) -> ArmReport:
    """Return what is known of a version that answered users."""
    return ArmReport(version, requests, requests, NONE_BAD | bad, 0, 1.0, 2.0, 3.0, 0.1)


def healthy_report(slot: Slot, **changes: object) -> JudgeReport:
    """Return what the judge says of a rollout in which nothing is wrong."""
    shadow = None
    if slot.shadow is not None:
        shadow = ShadowReport(slot.shadow, 6_000, 0, NONE_BAD, NONE_BAD, 0, 0, 0, 0, 1.0, 2.0, 3.0, 0.1)
    assert slot.stable is not None
    report = JudgeReport(
        model=MODEL,
        rev=slot.rev,
        seconds=4_000.0,
        weight=slot.weight,
        stable=arm(slot.stable),
        canary=None if slot.canary is None else arm(slot.canary),
        shadow=shadow,
        e_values={},
        e_value=1.0,
        drift=Drift(0.01, 6_000),
        split_p=0.5,
    )
    return replace(report, **changes)  # type: ignore[arg-type]
