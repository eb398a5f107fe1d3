"""Who may agree to a step: every word that is not about this, not now, or the author's own does not count."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from components.release.guards.approval import approval_verdict, in_force
from components.release.plan import ApprovalsSection, ReleasePlan
from components.release.records import Decision
from tests.rollouts import (
    AUTHOR,
    BEGAN,
    NEW,
    OTHER_DIGEST,
    approval,
    evidence,
    slot,
    subject,
)

PLAN = ReleasePlan()
CANARY = slot(canary=NEW, weight=5)


class TestApprovals:
    def passes(self, *words: Any, plan: ReleasePlan = PLAN, target: str = "stable", **changed: Any) -> bool:
        given = replace(evidence(CANARY), approvals=tuple(words), **changed)
        found = approval_verdict(plan, CANARY, target, given)
        assert found.reasons
        return found.passed

    def test_one_approval_of_somebody_else_is_enough(self) -> None:
        assert self.passes(approval(CANARY))

    def test_none_is_not(self) -> None:
        assert not self.passes()

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("model", "another"),
            ("env", "staging"),
            ("version", NEW + 1),
            ("artifact_digest", OTHER_DIGEST),
            ("artifact_digest", ""),
            ("target", "canary:25"),
            ("rev", CANARY.rev - 1),
            ("rev", CANARY.rev + 1),
            ("actor", AUTHOR),
            ("actor", ""),
            ("decision", Decision.REJECT),
            ("at", "yesterday"),
            ("at", BEGAN.replace(tzinfo=None).isoformat()),
            ("at", (BEGAN + timedelta(seconds=2_001)).isoformat()),
            ("at", (BEGAN - timedelta(days=2)).isoformat()),
            ("expires_at", BEGAN.isoformat()),
            ("expires_at", (BEGAN + timedelta(seconds=2_000)).isoformat()),
            ("expires_at", "never"),
            ("expires_at", ""),
        ],
    )
    def test_an_approval_that_is_not_about_this_or_not_now_does_not_count(self, field: str, value: Any) -> None:
        assert not self.passes(approval(CANARY, **{field: value}))

    def test_an_approval_does_not_outlive_the_plan_whatever_it_says_itself(self) -> None:
        old = approval(CANARY, at=(BEGAN - timedelta(hours=25)).isoformat(), expires_at="9999-12-31T23:59:59+00:00")
        assert not self.passes(old)

    def test_an_author_nobody_knows_cannot_be_excluded_and_so_nobody_counts(self) -> None:
        assert not self.passes(approval(CANARY), subject=subject(author=""))

    def test_two_approvals_are_of_two_people(self) -> None:
        two = ReleasePlan(approvals=ApprovalsSection(stable=2))
        assert not self.passes(approval(CANARY), approval(CANARY, reason="again"), plan=two)
        assert not self.passes(approval(CANARY), approval(CANARY, actor=AUTHOR), plan=two)
        assert self.passes(approval(CANARY), approval(CANARY, actor="joan"), plan=two)

    def test_one_rejection_refuses_whoever_else_agrees(self) -> None:
        no = approval(CANARY, actor="joan", decision=Decision.REJECT, reason="worse for Oslo")
        assert not self.passes(approval(CANARY), no)

    def test_also_the_author_may_reject_and_a_rejection_does_not_expire(self) -> None:
        no = approval(CANARY, actor=AUTHOR, decision=Decision.REJECT, expires_at=BEGAN.isoformat())
        assert not self.passes(approval(CANARY), no)

    def test_a_rejection_refuses_automatic_steps_too(self) -> None:
        assert self.passes(target="canary:25")
        assert not self.passes(approval(CANARY, target="canary:25", decision=Decision.REJECT), target="canary:25")

    def test_whoever_rejected_may_change_their_mind_and_nobody_else_for_them(self) -> None:
        no = approval(CANARY, decision=Decision.REJECT)
        later = (BEGAN + timedelta(seconds=90)).isoformat()
        assert self.passes(no, approval(CANARY, at=later))
        assert not self.passes(no, approval(CANARY, actor="joan", at=later))
        assert not self.passes(no, approval(CANARY, at=BEGAN.isoformat()))

    def test_no_approval_at_all_is_said_aloud(self) -> None:
        alone = ReleasePlan(approvals=ApprovalsSection(stable=0))
        found = approval_verdict(alone, CANARY, "stable", replace(evidence(CANARY), approvals=()))
        assert found.passed
        assert found.reasons == ("stable needs nobody's approval under this plan, and nobody rejected it",)

    def test_a_clock_without_a_zone_counts_no_approval(self) -> None:
        assert not self.passes(approval(CANARY), now=datetime(2026, 3, 29, 1))

    def test_what_is_in_force_is_what_the_gate_goes_by(self) -> None:
        later = (BEGAN + timedelta(seconds=90)).isoformat()
        yes, no = approval(CANARY), approval(CANARY, actor="hedy", decision=Decision.REJECT)
        words = {
            "yes": yes,
            "the author's own": approval(CANARY, actor=AUTHOR),
            "of another step": approval(CANARY, actor="joan", target="canary:25"),
            "of other bytes": approval(CANARY, actor="joan", artifact_digest=OTHER_DIGEST),
            "still to come": approval(CANARY, actor="joan", at=(BEGAN + timedelta(seconds=2_001)).isoformat()),
            "older than the plan lets it be": approval(
                CANARY, actor="joan", at=(BEGAN - timedelta(hours=25)).isoformat()
            ),
            "an expired no": replace(no, expires_at=BEGAN.isoformat()),
            "a no that was taken back": replace(no, actor="mary"),
            "its taking back": approval(CANARY, actor="mary", at=later),
        }
        given = replace(evidence(CANARY), approvals=tuple(words.values()))
        found = in_force(PLAN, CANARY, "stable", given)
        assert {name for name, word in words.items() if word in found} == {"yes", "an expired no", "its taking back"}
