"""What a person sees and decides of single batches. Reads no source and changes no dataset: the next run does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from components.errors import BadInputError, UnknownNameError
from components.stage.config import nearest
from components.types.batches import Batch, Decision, Unit
from pipelines.author import actor
from pipelines.batches.quarantine import Entry, Quarantine, put_decision, read_quarantine
from pipelines.batches.watermark import Progress, progress_of
from pipelines.config import ModelConfig, load_model


@dataclass(frozen=True)
class Decided(Entry):
    """What a person decided of one version of a batch."""

    stays: str | None = None
    """Another version of it, which is in the dataset and not meant."""


@dataclass(frozen=True)
class ListedBatch:
    """One batch as a person sees it."""

    name: str
    state: str
    """``good``, ``new``, ``held``, ``released`` or ``dropped``."""
    rows: int | None
    version: str
    notes: tuple[str, ...]


def listed(model: str, root: Path = Path()) -> tuple[ListedBatch, ...]:
    """Return every batch that was taken or decided of, in the order of their names.

    Raises:
        UnknownNameError: there is no such model.
        BadInputError: its source is not incremental.
        SourceError: ``source.json`` cannot be read.
    """
    config = _incremental(model, root)
    progress = progress_of(model, config.model.data, root)
    taken = progress.chosen.batches if progress.chosen else ()
    rows = [_taken(batch, progress) for batch in taken]
    rows += [_decided(entry) for entry in read_quarantine(model, root).entries]
    return tuple(sorted(rows, key=lambda row: row.name))


def decide(
    model: str, name: str, decision: Decision, reason: str, root: Path = Path(), *, dry_run: bool = False
) -> Decided:
    """Note what a person decided of a batch, and return it; where a correction is held, that is what is meant.

    Raises:
        UnknownNameError: there is no such model or batch.
        BadInputError: its source is not incremental, the reason is missing, or the batch cannot be decided of so.
    """
    config = _incremental(model, root)
    if not reason.strip():
        raise BadInputError("a decision needs a reason; say it with --reason")
    if decision is Decision.DROPPED and config.model.data.unit is Unit.WATERMARK:
        raise BadInputError(
            f"rows of a query cannot be dropped: the next run would read them again; correct them in the database of "
            f"{model}, or leave them out in `source.query`"
        )
    record = read_quarantine(model, root)
    progress = progress_of(model, config.model.data, root)
    version = _version(model, name, decision, record, progress)
    entry = Entry(name, version, decision, (reason.strip(),), by=actor())
    if not dry_run:
        put_decision(model, entry, root)
    taken = _taken_versions(progress).get(name)
    return Decided(**vars(entry), stays=taken if taken != version else None)


def _incremental(model: str, root: Path) -> ModelConfig:
    config = load_model(model, root)
    if config.model.data.unit is None:
        raise BadInputError(
            f"{config.path}: the source of {model} is read as a whole; `source.batches` makes it incremental"
        )
    return config


def _version(model: str, name: str, decision: Decision, record: Quarantine, progress: Progress) -> str:
    held = record.held.get(name)
    if held is not None:
        return held.version
    taken = _taken_versions(progress)
    if decision is Decision.DROPPED and name in taken:
        return taken[name]
    known = sorted({*record.held, *(taken if decision is Decision.DROPPED else ())})
    where = "in quarantine" if decision is Decision.RELEASED else "in quarantine or in the dataset"
    raise UnknownNameError(
        f"no batch `{name}` of {model} is {where}{nearest(name, known)}; `towpath batches list {model}` shows them"
    )


def _taken_versions(progress: Progress) -> dict[str, str]:
    return {batch.name: batch.version for batch in (progress.chosen.batches if progress.chosen else ())}


def _taken(batch: Batch, progress: Progress) -> ListedBatch:
    notes = ["late"] if batch.late else []
    notes += [f"replaced version {batch.corrects[:12]}"] if batch.corrects else []
    if window := batch.window:
        notes.append(f"{window.column} from {window.lower or 'the first'} to {window.upper}")
    state = "new" if batch in progress.pending else "good"
    return ListedBatch(batch.name, state, batch.rows, batch.version, tuple(notes))


def _decided(entry: Entry) -> ListedBatch:
    who = f"by {entry.by}, {entry.at}" if entry.by else f"since {entry.at}"
    return ListedBatch(entry.name, entry.decision.value, None, entry.version, (*entry.reasons, who))
