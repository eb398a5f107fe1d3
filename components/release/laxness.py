"""In which of its parts a release plan asks for less than the defaults do, to be said aloud. Judges no release."""

from __future__ import annotations

from pydantic import BaseModel

from components.release.plan import CanaryStep, ReleasePlan

LESS_IS_LAXER = frozenset({
    "entry.requests", "entry.sandbox_requests", "entry.load_requests_per_s", "entry.load_s",
    "shadow.requests", "shadow.seconds", "shadow.psi_min",
    "canary.requests", "canary.seconds",
    "ramp.confidence", "ramp.label_errors",
    "pause.split_p",
    "bake.seconds", "bake.slo",
    "approvals.stable",
    "judge.breaker_requests",
})  # fmt: skip
MORE_IS_LAXER = frozenset({
    "entry.tolerance", "entry.latency_p95_ms",
    "shadow.max_psi",
    "ramp.max_bad_ratio", "ramp.max_bad_rate",
    "pause.no_data_s", "pause.metric_errors", "pause.inconclusive_s", "pause.roll_back_after_s",
    "bake.burn_rate", "bake.min_failures",
    "approvals.expire_s",
    "judge.threshold", "judge.rate_ratio", "judge.breaker_failures", "judge.time_limit_s",
    "confirm_s",
})  # fmt: skip
NEITHER = frozenset({"bake.long_window_s", "bake.short_window_s", "judge.psi_bins"})
"""A longer window is surer and slower; finer bins see more and need more predictions."""


def laxer_parts(plan: ReleasePlan) -> tuple[str, ...]:
    """Return the parts of a plan that ask for less than the defaults, in the plan's order; none for the default one."""
    default = ReleasePlan()
    return tuple(part for part in ReleasePlan.model_fields if _is_laxer(part, plan, default))


def _is_laxer(part: str, plan: ReleasePlan, default: ReleasePlan) -> bool:
    if part == "canary":
        weakest = default.canary[0]  # all of them ask for the same
        short = any(_asks_less(f"{part}.{name}", step, weakest) for step in plan.canary for name in _CANARY_FIELDS)
        return short or _rises_faster(plan, default)
    ours, theirs = getattr(plan, part), getattr(default, part)
    if not isinstance(theirs, BaseModel):
        return _asks_less(part, plan, default)
    if ours is None:  # left out
        return True
    return any(_asks_less(f"{part}.{name}", ours, theirs) for name in type(theirs).model_fields)


def _asks_less(path: str, ours: BaseModel, theirs: BaseModel) -> bool:
    name = path.rpartition(".")[2]
    mine, usual = getattr(ours, name), getattr(theirs, name)
    return (path in LESS_IS_LAXER and mine < usual) or (path in MORE_IS_LAXER and mine > usual)


def _rises_faster(plan: ReleasePlan, default: ReleasePlan) -> bool:
    """Return whether some step gives a version more users than the default's next step from the same share would."""
    weights, usual = ([*(step.weight for step in each.canary), 100] for each in (plan, default))
    return any(
        weight > next(each for each in usual if each > before)
        for before, weight in zip([0, *weights], weights, strict=False)
    )


_CANARY_FIELDS = tuple(name for name in CanaryStep.model_fields if name != "weight")
