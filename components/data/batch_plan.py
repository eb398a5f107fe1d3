"""What to do with each batch that a source lists now: the watermark against the listing. Pure; reads nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from components.data.snapshot import FileEntry
from components.types.batches import Batch, Decision

Decide = Callable[[str, str], Decision | None]
"""Says what was decided of a batch, by its name and version; None where nothing was."""


@dataclass(frozen=True)
class Listed:
    """One batch that is at the source now."""

    name: str
    version: str
    """Its file's digest or ETag; of a partition, one digest over those of its files."""
    files: tuple[FileEntry, ...]


@dataclass(frozen=True)
class Candidate:
    """A batch that the dataset does not hold yet."""

    listed: Listed
    late: bool
    corrects: str | None
    """The version that it would replace."""
    released: bool
    """Somebody said that it need not meet the suite by itself."""


@dataclass(frozen=True)
class BatchPlan:
    """What a listing comes to."""

    kept: tuple[Batch, ...]
    """What the dataset holds already, or what was read before and can be read no more."""
    candidates: tuple[Candidate, ...]
    held: tuple[Listed, ...]
    """In quarantine; an earlier version that was good stays in the dataset."""
    gone: tuple[str, ...]
    """Held by the dataset and not at the source any more: they stay."""
    dropped: tuple[str, ...]


def plan_batches(
    good: Sequence[Batch], pending: Sequence[Batch], listed: Sequence[Listed], decide: Decide
) -> BatchPlan:
    """Compare what is at the source with what the last good dataset was made of.

    Args:
        good: What the last good dataset was made of: the watermark.
        pending: What was read after it, and never came into a good dataset.
        listed: What is at the source now.
        decide: What was decided of single batches.
    """
    known = {batch.name: batch for batch in good if decide(batch.name, batch.version) is not Decision.DROPPED}
    dropped = {batch.name for batch in good if batch.name not in known}
    newest = max(known, default=None)
    candidates: list[Candidate] = []
    held: list[Listed] = []
    for each in listed:
        before = known.get(each.name)
        if before is not None and before.version == each.version:
            continue
        decision = decide(each.name, each.version)
        if decision is Decision.DROPPED:
            dropped.add(each.name)
        elif decision is Decision.HELD:
            held.append(each)
        else:
            late = before is None and newest is not None and each.name < newest
            corrects = before.version if before is not None else None
            candidates.append(Candidate(each, late, corrects, decision is Decision.RELEASED))
    there = {each.name for each in listed}
    read = [each for each in pending if each.name not in there and decide(each.name, each.version) is None]
    kept = {**known, **{batch.name: batch for batch in read}}
    return BatchPlan(
        kept=tuple(kept[name] for name in sorted(kept)),
        candidates=tuple(candidates),
        held=tuple(held),
        gone=tuple(sorted(set(known) - there)),
        dropped=tuple(sorted(dropped)),
    )
