"""One look of the watchdog, told: notices that are new, and the file for Prometheus. Finds nothing itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.schedules.notices import Notice, tell, write_metrics
from pipelines.schedules.watchdog import Limits, look

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient


@dataclass(frozen=True)
class Watched:
    """What was new at one look."""

    notices: tuple[Notice, ...]
    problems: tuple[str, ...]
    """What kept a notice from being sent."""
    freed_slots: int
    skipped: int
    """Missed runs that were given up."""


def watch(client: SyncPrefectClient, limits: Limits, root: Path, heard_since: float | None = None) -> Watched:
    """Look once, tell people what is new, and write the file for Prometheus.

    Args:
        client: The server.
        limits: When something counts as wrong.
        root: The project.
        heard_since: As `look` takes it.

    Raises:
        ConfigError: a flow deployment's tags or the webhook cannot be used.
        httpx.HTTPError: the server does not answer.
    """
    found = look(client, limits, heard_since)
    write_metrics(found.standings, found.counts, root)
    fresh, problems = tell(found.notices, root)
    return Watched(tuple(fresh), tuple(problems), found.freed_slots, found.skipped)
