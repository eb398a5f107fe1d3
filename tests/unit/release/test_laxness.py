"""A plan that asks for less than the defaults is called laxer there; one that asks for as much or more is not."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from components.release.laxness import LESS_IS_LAXER, MORE_IS_LAXER, NEITHER, laxer_parts
from components.release.plan import CanaryStep, ReleasePlan, load_plan


def figures() -> dict[str, Any]:
    """Return every figure of the default plan by its path, without the canary's steps."""
    found = {}
    for part, value in ReleasePlan():
        if isinstance(value, BaseModel):
            found |= {f"{part}.{name}": each for name, each in value}
        elif part != "canary":
            found[part] = value
    return found


def changed(path: str, value: Any) -> ReleasePlan:
    """Return the default plan with one other figure; unchecked, so that any figure may stand in any direction."""
    plan, (part, _, name) = ReleasePlan(), path.partition(".")
    whole = getattr(plan, part).model_copy(update={name: value}) if name else value
    return plan.model_copy(update={part: whole})


def test_every_figure_has_a_direction_so_that_no_new_one_is_forgotten() -> None:
    canary = {f"canary.{name}" for name in CanaryStep.model_fields if name != "weight"}
    assert set(figures()) | canary == LESS_IS_LAXER | MORE_IS_LAXER | NEITHER
    assert not LESS_IS_LAXER & MORE_IS_LAXER
    assert not (LESS_IS_LAXER | MORE_IS_LAXER) & NEITHER


@pytest.mark.parametrize("path", sorted(figures()))
def test_a_figure_is_laxer_in_one_direction_alone(path: str) -> None:
    value = figures()[path]
    less, more = laxer_parts(changed(path, value / 2)), laxer_parts(changed(path, value * 2))
    part = (path.partition(".")[0],)
    assert less == (part if path in LESS_IS_LAXER else ())
    assert more == (part if path in MORE_IS_LAXER else ())


@pytest.mark.parametrize(
    ("canary", "laxer"),
    [
        ([(5, 300, 1_800), (25, 300, 1_800), (50, 300, 1_800)], False),
        ([(1, 300, 1_800), (5, 500, 3_600), (25, 300, 1_800), (50, 300, 1_800), (75, 300, 1_800)], False),
        ([(10, 300, 1_800), (25, 300, 1_800), (50, 300, 1_800)], True),
        ([(5, 300, 1_800), (50, 300, 1_800)], True),
        ([(5, 300, 1_800), (25, 300, 1_800)], True),
        ([(5, 300, 1_800), (25, 299, 1_800), (50, 300, 1_800)], True),
        ([(5, 300, 1_800), (25, 300, 1_800), (50, 300, 60)], True),
        ([], True),
    ],
)
def test_a_canary_is_laxer_that_rises_faster_or_sees_less(canary: list[tuple[int, int, float]], laxer: bool) -> None:
    steps = tuple(CanaryStep(weight=weight, requests=requests, seconds=s) for weight, requests, s in canary)
    assert laxer_parts(ReleasePlan(canary=steps)) == (("canary",) if laxer else ())


def test_what_is_left_out_is_laxer() -> None:
    assert laxer_parts(ReleasePlan(shadow=None)) == ("shadow",)


def test_of_the_shipped_plans_only_the_default_one_is_not_laxer() -> None:
    assert laxer_parts(load_plan("default")) == ()
    for name in ("laptop", "demo"):
        assert {"shadow", "canary", "ramp", "bake", "approvals"} <= set(laxer_parts(load_plan(name)))
    assert laxer_parts(load_plan("staging")) == ("shadow", "canary", "bake", "approvals")
