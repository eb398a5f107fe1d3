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
    """In quarantine, at the source or read before; an earlier version that was good stays in the dataset."""
    gone: tuple[str, ...]
    """Held by the dataset and not at the source any more: they stay."""
    dropped: tuple[str, ...]
    waiting: tuple[Batch, ...] = ()
    """Those in quarantine that were read before: their bytes may be nowhere else."""


def plan_batches(
    good: Sequence[Batch], pending: Sequence[Batch], listed: Sequence[Listed], decide: Decide
) -> BatchPlan:
    """Compare what is at the source with what the last good dataset was made of.

    Args:
        good: What the last good dataset was made of: the watermark.
        pending: What was read after it, and never came into a good dataset, also what is in quarantine since.
        listed: What is at the source now.
        decide: What was decided of single batches.
    """
    known = {batch.name: batch for batch in good if decide(batch.name, batch.version) is not Decision.DROPPED}
    dropped = {batch.name for batch in good if batch.name not in known}
    newest = max(known, default=None)
    candidates: list[Candidate] = []
    held: list[Listed] = []
    there = {each.name for each in listed}
    at_source = [each for each in listed if not any(_is_left_of(each, batch) for batch in pending)]
    read, waiting = _read_before(pending, at_source, decide)
    for each in at_source:
        before = known.get(each.name)
        if before is not None and (before.version == each.version or _is_left_of(each, before)):
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
    listed_now = {each.name for each in at_source}
    held += [Listed(each.name, each.version, ()) for each in waiting if each.name not in listed_now]
    kept = {**known, **{batch.name: batch for batch in read}}
    return BatchPlan(
        kept=tuple(kept[name] for name in sorted(kept)),
        candidates=tuple(candidates),
        held=tuple(held),
        gone=tuple(sorted(set(known) - there)),
        dropped=tuple(sorted(dropped)),
        waiting=tuple(waiting),
    )


def _read_before(pending: Sequence[Batch], listed: Sequence[Listed], decide: Decide) -> tuple[list[Batch], list[Batch]]:
    """Return what goes on as it was read, and what waits in quarantine; another version at the source replaces both."""
    versions = {each.name: each.version for each in listed}
    read, waiting = [], []
    for each in pending:
        decision = decide(each.name, each.version)
        if decision is Decision.HELD and versions.get(each.name, each.version) == each.version:
            waiting.append(each)
        elif decision not in (Decision.HELD, Decision.DROPPED) and each.name not in versions:
            read.append(each)
    return read, waiting


def _is_left_of(listed: Listed, batch: Batch) -> bool:
    """Whether a listing is what is left of a folder whose files expire one by one; ETags cannot tell."""
    now = {(file.path, file.sha256) for file in listed.files}
    return listed.name == batch.name and bool(now) and now < {(file.path, file.sha256) for file in batch.files}
