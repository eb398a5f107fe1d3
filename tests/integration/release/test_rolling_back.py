"""What a rollback leaves behind: nothing puts back what a person undid, and it goes no further than it came."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from components.errors import GateRefusedError
from components.release.records import Placement, Slot
from components.release.states import may_enter, state_of
from components.types.judging import Health
from components.types.release import Environment, Role
from pipelines.release import operate
from pipelines.release.actors import Actor
from pipelines.release.tick import tick
from tests.releases import MODEL, MemoryEnvironment, healthy_report, quick_plan

pytestmark = pytest.mark.slow
"""MLflow is imported: seconds."""

Place = Callable[..., Slot]


def failing(env: MemoryEnvironment, version: int) -> None:
    """Let 900 of 1,000 requests to the stable version fail, in every window."""
    env.memory.healths[Role.STABLE] = Health(Role.STABLE, version, 1_000, {"timeout": 900}, 3_600.0)


@pytest.fixture
def undone(env: MemoryEnvironment, place: Place, eve: Actor) -> Slot:
    """Return a slot in which an operator went back from version 2 to version 1."""
    place("stable", 1, quick_plan(), stable=1)
    place("stable", 2, quick_plan(), stable=2, previous=1)
    operate.carry_out(env, operate.roll_back(env, MODEL, None, eve, "worse"), 1.0)
    return env.ledger().slot(MODEL, env.name)


def test_no_tick_puts_back_what_an_operator_undid_and_the_operator_may(
    env: MemoryEnvironment, undone: Slot, eve: Actor
) -> None:
    assert undone.placement == Placement(stable=1, previous=2)
    failing(env, 1)
    looked = tick(env, MODEL)
    assert (looked.action, env.ledger().slot(MODEL, env.name)) == ("hold", undone)
    assert any("never put back by itself" in reason for each in looked.verdicts for reason in each.reasons)
    done = operate.carry_out(env, operate.roll_back(env, MODEL, 2, eve, "it was the network"), 1.0)
    assert done.served
    assert env.memory.traffic().stable == 2


def test_what_an_operator_undid_in_one_environment_does_not_enter_the_next(
    env: MemoryEnvironment, undone: Slot, place: Place
) -> None:
    for slot in (undone, place("stable", 3, quick_plan(), stable=3, previous=1)):
        stands = state_of(env.ledger().version(MODEL, 2), slot, env.ledger().events(MODEL, env.name))
        with pytest.raises(GateRefusedError, match="rolled_back in staging"):
            may_enter(
                env.ledger().version(MODEL, 2), Environment.PRODUCTION, Slot(model=MODEL, env=env.name, rev=0), stands
            )


def test_a_stable_version_that_fails_beside_a_rollout_gives_way_and_the_rollout_ends(
    env: MemoryEnvironment, place: Place
) -> None:
    place("stable", 1, quick_plan(), stable=1)
    place("stable", 2, quick_plan(), stable=2, previous=1)
    slot = place("shadow", 3, quick_plan(), stable=2, previous=1, shadow=3)
    env.memory.report = healthy_report(slot)
    failing(env, 2)
    assert tick(env, MODEL).target == "rollback"
    assert env.ledger().slot(MODEL, env.name).placement == Placement(stable=1)
    assert (env.memory.traffic().stable, env.memory.traffic().shadow) == (1, None)
