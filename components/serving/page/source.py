"""What the release page asks of a gateway. Knows no gateway: whoever has these can show the page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from components.types.judging import GatewayStatus


class PageSource(Protocol):
    """Where the page finds what it shows."""

    @property
    def state_dir(self) -> Path:
        """Return the folder of the router snapshot: the ledger's view lies there, and the history of evidence."""

    def release_status(self) -> GatewayStatus:
        """Return what all workers serve and what their judges know; the same that ``GET /release/status`` answers."""


@dataclass(frozen=True)
class StoredSource:
    """A source whose status is given: shows a status that was stored, and stands for a gateway in tests."""

    state_dir: Path
    status: GatewayStatus

    def release_status(self) -> GatewayStatus:
        """Return the status that was given."""
        return self.status
