"""What the page and `explain-release` say of approvals and of the plan is what the gates go by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from components.release.records import Approval, Decision, Slot
from pipelines.release.tick import tick
from pipelines.release.view import explain, write_view
from tests.releases import MODEL, MemoryEnvironment, healthy_report, quick_plan

pytestmark = pytest.mark.slow
"""MLflow is imported: seconds."""

Place = Callable[..., Slot]


def test_an_expired_rejection_counts_and_an_approval_that_no_gate_accepts_does_not(
    env: MemoryEnvironment, place: Place
) -> None:
    plan = quick_plan(approvals={"stable": 1, "expire_s": 600})
    place("stable", 1, plan, stable=1)
    slot = place("canary:50", 2, plan, stable=1, canary=2, weight=50)
    now = datetime.now(UTC)

    def moment(seconds: float) -> str:
        return (now + timedelta(seconds=seconds)).isoformat()

    digest = env.ledger().version(MODEL, 2).digest
    yes = Approval(
        MODEL, env.name, 2, digest, "stable", slot.rev, "joan", Decision.APPROVE, "", moment(-60), moment(9_000)
    )
    for word in (
        yes,
        replace(yes, actor="ada"),
        replace(yes, actor="hedy", target="canary:50"),
        replace(yes, actor="edsger", at=moment(3_600)),
        replace(yes, actor="mary", at=moment(-1_200)),
        replace(yes, actor="grace", decision=Decision.REJECT, reason="no", at=moment(-7_200), expires_at=moment(-60)),
    ):
        env.ledger().add_approval(word)
    env.memory.report = healthy_report(slot)
    assert tick(env, MODEL).action == "hold"  # grace's word is why
    counted = {"joan": True, "ada": False, "hedy": False, "edsger": False, "mary": False, "grace": True}
    (shown,) = write_view(env).models
    assert {each.actor: each.counts for each in shown.approvals} == counted
    assert {each.actor: each.counts for each in explain(env, MODEL).view.approvals} == counted


def test_the_bounds_that_are_shown_are_of_the_plan_that_the_rollout_has(env: MemoryEnvironment, place: Place) -> None:
    plan = quick_plan(shadow={"requests": 1, "max_psi": 0.5}, pause={"split_p": 1e-6})
    place("stable", 1, plan, stable=1)
    (settled,) = write_view(env).models
    assert (settled.plan, settled.max_psi, settled.split_p) == ("", None, None)
    place("canary:5", 2, plan, stable=1, canary=2, weight=5)
    (moving,) = write_view(env).models
    assert (moving.plan, moving.max_psi, moving.split_p) == ("test", 0.5, 1e-6)
