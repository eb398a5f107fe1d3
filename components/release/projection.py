"""What a slot means to those who read MLflow: pure; the registry writes it, and nobody reads it as the truth."""

from __future__ import annotations

from dataclasses import dataclass

from components.release.records import Slot


@dataclass(frozen=True)
class Aliases:
    """The aliases of one model as its slot has them; None means that there is no such alias."""

    model: str
    champion: int | None
    challenger: int | None
    rev: int
    """The slot's revision: a writer that comes late with a lower one is turned away."""


def aliases(slot: Slot) -> Aliases:
    """Return a slot as aliases: the champion is stable, the challenger is the canary, else the shadow."""
    challenger = slot.canary if slot.canary is not None else slot.shadow
    return Aliases(slot.model, slot.stable, challenger, slot.rev)
