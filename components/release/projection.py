"""What a slot means to those who read MLflow: pure; the registry writes it, and nobody reads it as the truth."""

from __future__ import annotations

from dataclasses import dataclass

from components.release.records import Slot
from components.types.release import Environment


@dataclass(frozen=True)
class Aliases:
    """The aliases of one model as its slot has them; None means that there is no such alias."""

    model: str
    champion: int | None
    challenger: int | None
    rev: int
    """The slot's revision: a writer that comes late with a lower one is turned away."""


def aliases(slot: Slot) -> Aliases:
    """Return a slot as aliases: the champion is stable, the challenger is the canary, else the shadow.

    The local environment has neither: its challenger is what passed the gates there and waits for a person.
    """
    waits = slot.candidate if slot.env is Environment.LOCAL else None
    challenger = next((each for each in (slot.canary, slot.shadow, waits) if each is not None), None)
    return Aliases(slot.model, slot.stable, challenger, slot.rev)
