"""Up to where an incremental source was taken: what the last good dataset was made of. Asks no source.

There is no state of its own. ``source.json`` says which batches were chosen, and which of them were new; ``dvc.lock``
says whether the dataset that was made of it passed validation. Until it has, what was new stays new, so a batch whose
run was killed is taken again, and is in the end in exactly one place of one dataset.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.data.batch_source import origin_of, read_batched
from components.data.config import DataSection, SklearnSource, SqlSource
from components.data.snapshot import source_file
from components.types.batches import Batch, BatchedSource


@dataclass(frozen=True)
class Progress:
    """How far a model's source was taken."""

    chosen: BatchedSource | None
    """What ``source.json`` says; None when it speaks of no batches of this source."""
    good: tuple[Batch, ...] = ()
    """What the last good dataset was made of."""

    @property
    def pending(self) -> tuple[Batch, ...]:
        """What was chosen and never came into a good dataset."""
        known = {(batch.name, batch.version) for batch in self.good}
        batches = self.chosen.batches if self.chosen else ()
        return tuple(batch for batch in batches if (batch.name, batch.version) not in known)

    @property
    def held(self) -> tuple[Batch, ...]:
        """What was chosen once, and is in quarantine since."""
        return self.chosen.held if self.chosen else ()


def progress_of(model: str, data: DataSection, root: Path = Path()) -> Progress:
    """Return how far a model's incremental source was taken; another query or watermark begins anew.

    Raises:
        SourceError: ``source.json`` cannot be read.
    """
    path, source = source_file(model, root), data.source
    if isinstance(source, SklearnSource) or not path.is_file() or not _lists_batches(path):
        return Progress(None)
    chosen, _ = read_batched(model, root)
    if chosen.unit != data.unit or (isinstance(source, SqlSource) and not _asks_the_same(source, chosen)):
        return Progress(None)
    return Progress(chosen, chosen.batches if was_validated(model, root) else chosen.good)


def was_validated(model: str, root: Path = Path()) -> bool:
    """Return whether the dataset that was made of the very ``source.json`` that is there passed validation."""
    stages = _locked(root)
    ingest, validate = (stages.get(f"{step}@{model}") or {} for step in ("ingest", "validate"))
    source, dataset = f"data/{model}/source.json", f"data/{model}/dataset"
    made = _md5(ingest, "outs", dataset)
    if made is None or made != _md5(validate, "deps", dataset):
        return False
    found = hashlib.md5(source_file(model, root).read_bytes(), usedforsecurity=False).hexdigest()
    return _md5(ingest, "deps", source) == found


def _asks_the_same(source: SqlSource, chosen: BatchedSource) -> bool:
    columns = {batch.window.column for batch in chosen.batches if batch.window}
    return chosen.origin == origin_of(source) and columns <= {source.watermark}


def _lists_batches(path: Path) -> bool:
    try:
        return "batches" in json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return True  # damaged: who reads it says so


def _locked(root: Path) -> Mapping[str, Any]:
    path = root / "dvc.lock"
    content = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
    return (content or {}).get("stages") or {}


def _md5(stage: Mapping[str, Any], side: str, path: str) -> str | None:
    return next((each.get("md5") for each in stage.get(side) or () if each["path"] == path), None)
