"""The words of a release: roles, references and traffic. Knows nothing of how traffic is moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Environment(StrEnum):
    """Where a version may stand."""

    LOCAL = "local"
    STAGING = "staging"
    PRODUCTION = "production"


class Role(StrEnum):
    """What a version does in a slot."""

    STABLE = "stable"
    CANARY = "canary"
    SHADOW = "shadow"


@dataclass(frozen=True)
class ModelRef:
    """A pinned version: never an alias."""

    model: str
    version: int
    digest: str
    """The product's digest."""


@dataclass(frozen=True)
class PlacedModel:
    """A pinned version whose bytes are in the content-addressed store of this machine."""

    ref: ModelRef
    directory: Path
    runtime: str


@dataclass(frozen=True)
class RouterSnapshot:
    """What a gateway serves: written whole (temp, fsync, rename), fenced by `rev`."""

    rev: int
    models: Mapping[str, PlacedModel]
    """By model name."""
