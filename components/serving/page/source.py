"""What the release page asks of a gateway. Knows no gateway: whoever has these three can show the page."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from components.types.judging import GatewayStatus


class PageSource(Protocol):
    """Where the page finds what it shows."""

    @property
    def state_dir(self) -> Path:
        """Return the folder of the router snapshot: the ledger's view lies there, and the history of evidence."""

    @property
    def needs_token(self) -> bool:
        """Return whether the gateway was started with a token (the page then says so, and links stay on it)."""

    def release_status(self) -> GatewayStatus:
        """Return what all workers serve and what their judges know; the same that ``GET /release/status`` answers."""
