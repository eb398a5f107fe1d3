"""What stands where on this machine: servers, models, stale stages, stable versions. Asks DVC and the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from components.errors import TowpathError
from components.release.peek import peek
from components.types.release import Environment
from pipelines.config import load_model, model_names
from pipelines.services.local import ALL
from pipelines.services.process import Service, find_service
from pipelines.stages import changed_stages, following, model_stages
from pipelines.state import ledger_url


@dataclass(frozen=True)
class ModelOverview:
    """One model at a glance."""

    model: str
    stable_version: int | None
    stable_digest: str | None
    stale_stages: int | None
    problem: str | None


@dataclass(frozen=True)
class Overview:
    """Everything at a glance."""

    services: tuple[Service, ...]
    models: tuple[ModelOverview, ...]


def overview(root: Path = Path()) -> Overview:
    """Return the servers that run, and every model's state."""
    services = tuple(service for name in reversed(ALL) if (service := find_service(name, root)))
    return Overview(services, tuple(_model(name, root) for name in model_names(root)))


def _model(name: str, root: Path) -> ModelOverview:
    try:
        config = load_model(name, root)
        stages = model_stages(name, config.trainings)
        stale = len(following(changed_stages(stages, root), stages, name))
        slot, stable = peek(ledger_url(), name, Environment.LOCAL)
    except TowpathError as error:
        return ModelOverview(name, None, None, None, str(error))
    return ModelOverview(name, slot.stable, stable.digest if stable else None, stale, None)
