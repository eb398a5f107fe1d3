"""Who follows a rollout is told what it came to, and a script by the exit code whether the version is stable."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
import typer

from components.release.records import Slot
from pipelines.cli.promotion import follow_and_tell, follow_rollout
from tests.releases import MODEL, MemoryEnvironment, arm, healthy_report, quick_plan

pytestmark = pytest.mark.slow
"""MLflow is imported: seconds."""

Place = Callable[..., Slot]


def test_following_a_rollout_waits_for_another_tick_that_is_at_it(env: MemoryEnvironment, place: Place) -> None:
    place("stable", 1, quick_plan(), stable=1)
    slot = place("canary:50", 2, quick_plan(), stable=1, canary=2, weight=50)
    env.memory.report = healthy_report(slot)
    env.ledger().acquire(f"rollout/{MODEL}/production", "another tick", 0.5)
    begun = time.monotonic()
    assert follow_rollout(env, MODEL, 2, lambda _: None).stable == 2
    assert time.monotonic() - begun >= 0.5


@pytest.mark.parametrize(
    ("paused", "approvals", "bad", "state"),
    [
        (True, 0, 0, "is paused(canary) in production, not stable and stays so until a person acts"),
        (False, 1, 0, "is canary in production, not stable and stays so until a person acts"),
        (False, 0, 500, "is rolled back in production, not stable; "),
    ],
    ids=["paused", "waits for an approval", "thrown out"],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_following_a_version_that_does_not_become_stable_ends_with_the_code_of_a_refusal(
    env: MemoryEnvironment,
    place: Place,
    capsys: pytest.CaptureFixture[str],
    paused: bool,
    approvals: int,
    bad: int,
    state: str,
    as_json: bool,
) -> None:
    plan = quick_plan(approvals={"stable": approvals})
    place("stable", 1, plan, stable=1)
    slot = place("canary:50", 2, plan, stable=1, canary=2, weight=50, paused=paused)
    alarm = "e = 141 of 100 (server_error)" if bad else None
    env.memory.report = healthy_report(slot, canary=arm(2, server_error=bad), alarm=alarm)
    with pytest.raises(typer.Exit) as ended:
        follow_and_tell(env, MODEL, 2, as_json)
    assert ended.value.exit_code == 4
    said = capsys.readouterr()
    if as_json:
        assert json.loads(said.out)["model"] == MODEL
    else:
        assert state in said.err
        assert "`towpath explain-release taxi --env production` says why" in said.err


def test_following_a_version_until_it_is_stable_ends_well(
    env: MemoryEnvironment, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place("stable", 1, quick_plan(), stable=1)
    env.memory.report = healthy_report(place("canary:50", 2, quick_plan(), stable=1, canary=2, weight=50))
    follow_and_tell(env, MODEL, 2, json=False)
    assert "version 2 of taxi is stable in production" in capsys.readouterr().err
