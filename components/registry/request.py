"""What is registered and what comes back: records of paths, digests and names. Knows nothing of MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.types.evaluation import Verdict
from components.types.product import ProductRef
from components.types.training import Parameter


@dataclass(frozen=True)
class Lineage:
    """All that a version came from; stored as ``lineage/lineage.json`` inside it."""

    model: str
    training: str
    kind: str
    framework: str
    runtime: str
    product_digest: str
    dataset_digest: str
    git_commit: str
    patch_digest: str
    """SHA-256 of the uncommitted changes, stored as ``uncommitted.patch``; empty for a clean tree."""
    dvc_lock_digest: str
    lock_digests: Mapping[str, str]
    """The environment's locks by name."""
    suite_passed: bool
    suite_digest: str
    """Of the validation's verdict, stored as ``verdict.json``."""
    gates: tuple[Verdict, ...]
    parameters: Mapping[str, Parameter | None]
    native_files: tuple[str, ...]
    author: str
    flow_run_id: str

    @property
    def clean(self) -> bool:
        """Whether nothing but ``dvc.lock`` was uncommitted."""
        return not self.patch_digest


@dataclass(frozen=True)
class RegistrationRequest:
    """One version that is to be registered."""

    run_id: str
    """The MLflow run that it belongs to."""
    product: ProductRef
    lineage: Lineage
    files: Mapping[str, Path]
    """What is stored under ``lineage/`` by name: ``dvc.lock``, ``verdict.json``, ``evaluation.json``, and where the
    tree was dirty ``uncommitted.patch``."""
    native_dir: Path | None
    """The framework's own files, stored under ``native/``."""
    input_example: Mapping[str, list[Any]]
    """A few rows of raw columns, by the names of the signature's inputs; None where missing."""


@dataclass(frozen=True)
class RegisteredVersion:
    """A version in the registry."""

    model: str
    version: int
    product_digest: str
    dataset_digest: str
    runtime: str
    run_id: str
    tags: Mapping[str, str]
    created: bool = False
    """Whether this very call made it."""


@dataclass(frozen=True)
class AliasChange:
    """What writing a slot's aliases did."""

    changed: tuple[str, ...]
    """The aliases that stood elsewhere."""
    rev: int
    """The ledger's revision that the aliases now carry."""
    stale: bool
    """Whether a newer revision was there already, so that nothing was written."""


@dataclass(frozen=True)
class FoundAliases:
    """Where a model's aliases point, and the ledger's revision that they say they carry."""

    champion: int | None
    challenger: int | None
    rev: int
