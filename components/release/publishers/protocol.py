"""Who is told where versions stand, and what they are told. Knows no kind of publisher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from components.release.records import Event
from components.types.release import PlacedModel, TrafficSplit


@dataclass(frozen=True)
class Publication:
    """One event of the ledger, and how things stand after it."""

    event: Event
    """What happened; its `op_id` is the same however often it is told."""
    split: TrafficSplit
    """How the model's traffic stands now: at the event's revision, or at a later one if the telling was late."""
    placed: Mapping[int, PlacedModel] = field(default_factory=dict)
    """The stable version and the canary, by number, with their bytes on this machine; may be empty for publishers
    that move no bytes."""


class Publisher(Protocol):
    """Tell one place; telling it the same again changes nothing there."""

    def publish(self, publication: Publication) -> None:
        """Make the place what the publication says; return when it is.

        Raises:
            StaleRevisionError: the place has a newer revision, or this one with another split; nothing was changed.
            ConfigError: this place can never hold what is to be published.
            DigestMismatchError: the bytes are not those that were promised; nothing of them was published.
            InfrastructureError: the place cannot be reached or written; a retry goes on where this stopped.
        """
