"""What a slot means as aliases."""

from __future__ import annotations

from dataclasses import replace

from components.release.projection import Aliases, aliases
from components.release.records import Slot
from components.types.release import Environment


def slot(**placed: int) -> Slot:
    return Slot(model="taxi", env=Environment.LOCAL, rev=4, **placed)


def test_the_champion_is_what_is_stable() -> None:
    assert aliases(slot(stable=3, previous=2)) == Aliases("taxi", champion=3, challenger=None, rev=4)


def test_the_challenger_is_the_canary_and_else_the_shadow() -> None:
    assert aliases(slot(stable=3, canary=4, shadow=5)).challenger == 4
    assert aliases(slot(stable=3, shadow=5)).challenger == 5


def test_the_local_challenger_is_what_waits_there_for_a_person_and_elsewhere_a_candidate_is_none() -> None:
    waits = slot(stable=3, candidate=4)
    assert aliases(waits).challenger == 4
    assert aliases(replace(waits, env=Environment.PRODUCTION)).challenger is None


def test_an_empty_slot_has_no_aliases() -> None:
    assert aliases(slot()) == Aliases("taxi", champion=None, challenger=None, rev=4)
