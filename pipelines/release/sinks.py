"""What must follow the ledger in an environment, by name: the outbox has a row for each of these per event."""

from __future__ import annotations

from pipelines.release.environments import EnvironmentConfig

ROUTER, ALIASES, PAGE, PUBLISHER = "router", "aliases", "page", "publisher"


def sinks_of(env: EnvironmentConfig) -> tuple[str, ...]:
    """Return the names of everything that follows an event, the traffic first."""
    return (ROUTER, ALIASES, *(f"{PUBLISHER}:{name}" for name in env.publisher_names()), PAGE)
