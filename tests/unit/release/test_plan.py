"""Release plans: the shipped ones, and what a wrong one is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from components.errors import ConfigError, UnknownNameError
from components.release.plan import PLANS_DIR, ReleasePlan, load_plan

SHIPPED = sorted(path.stem for path in PLANS_DIR.glob("*.yaml"))


def write(root: Path, plan: object) -> Path:
    (root / PLANS_DIR).mkdir(parents=True)
    (root / PLANS_DIR / "mine.yaml").write_text(yaml.safe_dump({"plan": plan}))
    return root


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_plan_is_valid(name: str) -> None:
    assert load_plan(name).digest


def test_these_plans_are_shipped() -> None:
    assert {"default", "staging", "laptop", "demo"} <= set(SHIPPED)


def test_the_default_plan_writes_every_figure_down_and_is_what_no_key_at_all_means() -> None:
    written = yaml.safe_load((PLANS_DIR / "default.yaml").read_text())["plan"]
    assert ReleasePlan.model_validate(written) == ReleasePlan()
    known = ReleasePlan().model_dump(mode="json")
    assert set(written) == set(known)
    assert {key: set(value) for key, value in written.items() if isinstance(value, dict)} == {
        key: set(value) for key, value in known.items() if isinstance(value, dict)
    }


def test_the_default_plan_has_the_documented_figures() -> None:
    plan = load_plan("default")
    assert (plan.entry.requests, plan.entry.sandbox_requests) == (1_000, 100)
    assert plan.shadow is not None
    assert (plan.shadow.requests, plan.shadow.seconds) == (5_000, 30 * 60)
    assert (plan.shadow.max_psi, plan.shadow.psi_min) == (0.2, 300)
    assert [(step.weight, step.requests, step.seconds) for step in plan.canary] == [
        (5, 300, 30 * 60),
        (25, 300, 30 * 60),
        (50, 300, 30 * 60),
    ]
    assert (plan.ramp.max_bad_ratio, plan.ramp.max_bad_rate, plan.ramp.confidence) == (2, 0.01, 0.95)
    assert (plan.pause.no_data_s, plan.pause.metric_errors, plan.pause.split_p) == (5 * 60, 4, 1e-4)
    assert plan.pause.roll_back_after_s == 24 * 3600
    assert (plan.bake.burn_rate, plan.bake.long_window_s, plan.bake.short_window_s) == (14.4, 3600, 300)
    assert (plan.approvals.stable, plan.approvals.expire_s) == (1, 24 * 3600)
    assert (plan.judge.threshold, plan.judge.rate_ratio) == (100, 1.25)
    assert (plan.judge.breaker_failures, plan.judge.breaker_requests) == (3, 20)
    assert plan.confirm_s == 30


def test_staging_goes_straight_to_stable_and_asks_nobody() -> None:
    plan = load_plan("staging")
    assert (plan.shadow, plan.canary, plan.approvals.stable) == (None, (), 0)


def test_the_laptop_asks_nobody_and_takes_minutes() -> None:
    plan = load_plan("laptop")
    assert plan.shadow is not None
    assert plan.approvals.stable == 0
    assert plan.shadow.seconds + sum(step.seconds for step in plan.canary) <= 5 * 60


def test_the_demo_can_be_over_in_half_a_minute_at_200_requests_per_second() -> None:
    plan = load_plan("demo")
    assert plan.shadow is not None
    waits = [max(plan.shadow.seconds, plan.shadow.requests / 200, plan.shadow.psi_min / 200)]
    waits += [max(step.seconds, step.requests / (200 * step.weight / 100)) for step in plan.canary]
    entry = plan.entry.load_s + (plan.entry.requests + plan.entry.sandbox_requests) / 50
    assert sum(waits) + entry < 15  # half of it, so that some noise and the looks between the steps have room


def test_plans_with_equal_meaning_have_one_digest_and_others_another() -> None:
    assert load_plan("default").digest == ReleasePlan().digest
    assert len({load_plan(name).digest for name in SHIPPED}) == len(SHIPPED)


def test_an_unknown_plan_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"no release plan `defalt` \(did you mean `default`\?\)"):
        load_plan("defalt")


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"canary": [{"weight": 25}, {"weight": 5}]}, r"each larger than the one before"),
        ({"canary": [{"weight": 5}, {"weight": 5}]}, r"each larger than the one before"),
        ({"canary": [{"weight": 100}]}, r"plan.canary.0.weight"),
        ({"canary": [{"requests": 5}]}, r"plan.canary.0.weight.*required"),
        ({"ramp": None}, r"plan.ramp"),
        ({"ramp": {"max_bad_rate": None}}, r"plan.ramp.max_bad_rate"),
        ({"ramp": {"max_bad_rate": float("nan")}}, r"plan.ramp.max_bad_rate"),
        ({"ramp": {"max_bad_rate": 1}}, r"plan.ramp.max_bad_rate"),
        ({"ramp": {"max_bad_ratio": float("inf")}}, r"plan.ramp.max_bad_ratio"),
        ({"shadow": {"max_psi": None}}, r"plan.shadow.max_psi"),
        ({"shadow": {"requests": 0}}, r"plan.shadow.requests"),
        ({"judge": {"threshold": float("inf")}}, r"plan.judge.threshold"),
        ({"judge": {"threshold": None}}, r"plan.judge.threshold"),
        ({"bake": {"burn_rate": None}}, r"plan.bake.burn_rate"),
        ({"pause": {"split_p": 0}}, r"plan.pause.split_p"),
        ({"approvals": {"stable": -1}}, r"plan.approvals.stable"),
        ({"approvals": {"stabel": 1}}, r"unknown key `plan.approvals.stabel` \(did you mean `stable`\?\)"),
        ({"canary": [{"weight": 5, "seconds": 90_000}]}, r"would be paused as inconclusive after 86400 s"),
        ({"shadow": {"seconds": 86_400}}, r"would be paused as inconclusive"),
    ],
)
def test_a_wrong_plan_is_refused_by_the_name_of_its_key(tmp_path: Path, plan: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_plan("mine", write(tmp_path, plan))


def test_a_plan_without_its_one_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / PLANS_DIR).mkdir(parents=True)
    (tmp_path / PLANS_DIR / "mine.yaml").write_text("shadow: null\n")
    with pytest.raises(ConfigError, match="expected one key `plan`, found shadow"):
        load_plan("mine", tmp_path)


def test_the_gateway_is_told_over_how_many_steps_to_spread_the_error() -> None:
    default = load_plan("default")
    assert default.shadow is not None
    assert default.judge_settings.steps == len(default.canary) + 1 == 4
    assert default.model_copy(update={"shadow": None}).judge_settings.steps == 3
    assert default.model_copy(update={"canary": ()}).judge_settings.steps == 1
    assert load_plan("staging").judge_settings.steps == 1
