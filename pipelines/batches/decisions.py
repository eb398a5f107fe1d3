"""What a person sees and decides of single batches. Reads no source and changes no dataset: the next run does."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from components.data.snapshot import source_file
from components.errors import BadInputError, UnknownNameError
from components.stage.config import nearest
from components.types.batches import Batch, Decision, Unit
from pipelines.author import actor
from pipelines.batches.quarantine import Entry, Quarantine, put_decision, read_quarantine
from pipelines.batches.watermark import Progress, progress_of
from pipelines.config import ModelConfig, load_model
from pipelines.schedules.checkout import KEPT

_LOCK = "dvc.lock"


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
    """Return every batch that was taken, here or by scheduled runs, or decided of, in the order of their names.

    Raises:
        UnknownNameError: there is no such model.
        BadInputError: its source is not incremental.
        SourceError: ``source.json`` cannot be read.
    """
    config = _incremental(model, root)
    ours, scheduled = _progresses(model, config, root)
    taken, record = _taken_versions(ours), read_quarantine(model, root)
    rows = [_taken(batch, ours) for batch in _batches(ours)]
    rows += [
        _taken(batch, scheduled, "by a scheduled run")
        for batch in _batches(scheduled)
        if taken.get(batch.name) != batch.version
    ]
    held = {(each.name, each.version) for each in record.entries if each.decision is Decision.HELD}
    rows = [row for row in rows if row.state != "new" or (row.name, row.version) not in held]
    rows_by_batch = {(batch.name, batch.version): batch.rows for each in (ours, scheduled) for batch in _batches(each)}
    rows += [_decided(entry, rows_by_batch.get((entry.name, entry.version))) for entry in record.entries]
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
    known: dict[str, str] = {}
    for progress in _progresses(model, config, root):  # what scheduled runs took last is what is meant
        known |= _taken_versions(progress)
    version = _version(model, name, decision, record, known)
    entry = Entry(name, version, decision, (reason.strip(),), by=actor())
    if not dry_run:
        put_decision(model, entry, root)
    taken = known.get(name)
    return Decided(**vars(entry), stays=taken if taken != version else None)


def _incremental(model: str, root: Path) -> ModelConfig:
    config = load_model(model, root)
    if config.model.data.unit is None:
        raise BadInputError(
            f"{config.path}: the source of {model} is read as a whole; `source.batches` makes it incremental"
        )
    return config


def _version(model: str, name: str, decision: Decision, record: Quarantine, taken: Mapping[str, str]) -> str:
    held = record.held.get(name)
    if held is not None:
        return held.version
    if decision is Decision.DROPPED and name in taken:
        return taken[name]
    known = sorted({*record.held, *(taken if decision is Decision.DROPPED else ())})
    where = "in quarantine" if decision is Decision.RELEASED else "in quarantine or in the dataset"
    raise UnknownNameError(
        f"no batch `{name}` of {model} is {where}{_meant(name, known)}; `towpath batches list {model}` shows them"
    )


def _meant(name: str, known: Sequence[str]) -> str:
    """Return the batch that is meant by the last part of its path, or the one whose name is nearest, as a question."""
    ends = [each for each in known if name in (PurePosixPath(each).name, PurePosixPath(each).stem)]
    return f" (did you mean `{ends[0]}`?)" if len(ends) == 1 else nearest(name, known)


def _progresses(model: str, config: ModelConfig, root: Path) -> tuple[Progress, Progress]:
    """Return how far this folder came, and how far scheduled runs did, whose checkouts go on from what they keep."""
    data, kept = config.model.data, root / KEPT / model
    with TemporaryDirectory() as folder:
        for found, place in ((kept / "source.json", source_file(model, Path(folder))), (kept / _LOCK, Path(_LOCK))):
            if found.is_file():
                (Path(folder) / place).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(found, Path(folder) / place)
        return progress_of(model, data, root), progress_of(model, data, Path(folder))


def _batches(progress: Progress) -> tuple[Batch, ...]:
    return progress.chosen.batches if progress.chosen else ()


def _taken_versions(progress: Progress) -> dict[str, str]:
    return {batch.name: batch.version for batch in _batches(progress)}


def _taken(batch: Batch, progress: Progress, *said: str) -> ListedBatch:
    notes = ["late"] if batch.late else []
    notes += [f"replaced version {batch.corrects[:12]}"] if batch.corrects else []
    if window := batch.window:
        notes.append(f"{window.column} from {window.lower or 'the first'} to {window.upper}")
    state = "new" if batch in progress.pending else "good"
    return ListedBatch(batch.name, state, batch.rows, batch.version, (*notes, *said))


def _decided(entry: Entry, rows: int | None) -> ListedBatch:
    who = f"by {entry.by}, {entry.at}" if entry.by else f"since {entry.at}"
    return ListedBatch(entry.name, entry.decision.value, rows, entry.version, (*entry.reasons, who))
