"""Routes to write into a router file, each with the versions that it names. Knows no gateway."""

from __future__ import annotations

from pathlib import Path

from components.release.router import RouterFile
from components.types.release import (
    JudgeSettings,
    ModelRef,
    ModelRoute,
    PlacedModel,
    Role,
    TrafficSplit,
)

JUDGE = JudgeSettings(threshold=50.0)


def placed(version: int, model: str = "taxi", digest: str = "") -> PlacedModel:
    return PlacedModel(ModelRef(model, version, digest or f"{version:064x}"), Path(f"/store/{version}"), "onnx")


def stand(router: RouterFile, split: TrafficSplit) -> ModelRoute:
    """Load whatever a split names, and route it."""
    for role in Role:
        if (version := split.version(role)) is not None:
            router.load(split.model, placed(version, split.model), role)
    return router.route(split, JUDGE)


def loaded(router: RouterFile, model: str = "taxi") -> set[str]:
    return set(router.route_of(model).loaded)
