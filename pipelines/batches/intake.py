"""Look at a model's source before a run: take what is new and good, leave out what is bad, and write down both.

What is chosen stands in ``source.json``, whose bytes decide whether the stage `ingest` runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from components.data.batch_listing import list_batches
from components.data.batch_plan import BatchPlan, Decide, Listed, plan_batches
from components.data.batch_source import origin_of
from components.data.batch_store import prune, require_stored
from components.data.config import DataSection, FilesSource, SklearnSource
from components.data.listing import nothing_matches
from components.data.probe import write_probe
from components.data.snapshot import source_file
from components.stage.files import record_digest, write_json
from components.types.batches import BatchedSource, Decision
from pipelines.batches.quarantine import Entry, Quarantine, change_quarantine, read_quarantine
from pipelines.batches.tracked import track_batches
from pipelines.batches.watermark import Progress, progress_of, was_validated
from pipelines.outcome import BadBatch, Intake

if TYPE_CHECKING:
    from pipelines.batches.reading import Found


def take_in(model: str, data: DataSection, root: Path = Path(), *, judge: bool = True) -> Intake | None:
    """Look at the source, and write ``source.json`` when there is something new; None for one that is read as a whole.

    Args:
        model: The model.
        data: Its configuration.
        root: The project.
        judge: Whether every batch must meet the suite by itself. A suite that is to be drafted can judge none: then
            what is in quarantine stays out whatever put it there, and the quarantine is left as it is.

    Raises:
        SourceError: the source cannot be read, nothing matches, or the batch store lacks bytes.
        SuiteError: the suite cannot be used.
        InfrastructureError: a server does not answer, or DVC could not keep the bytes.
    """
    if data.unit is None:
        write_probe(model, data, root)
        return None
    from pipelines.batches.reading import Reading  # it reads rows, and no other source needs that here

    progress = progress_of(model, data, root)
    # a store that lacks something must not become the one that DVC keeps
    require_stored(model, (*progress.good, *progress.pending, *progress.held), root)
    quarantine = read_quarantine(model, root)
    rules = judged_by(model, data, root) if judge else None
    decide = _as_it_stands(quarantine) if rules is None else quarantine.decides(rules)
    reading = Reading(model, data, root, judge=judge)
    if isinstance(data.source, FilesSource):
        plan = _plan_files(data.source, progress, decide, root)
        found = [reading.files(each) for each in plan.candidates]
    else:
        kept, found = reading.news(progress.good, progress.pending, decide)
        held = tuple(Listed(each.name, each.version, ()) for each in found if each.is_held)
        plan = BatchPlan(kept=kept, candidates=(), held=held, gone=(), dropped=())
    chosen = _chosen(data, progress, plan, found)
    if rules is not None:
        quarantine = _write_down(model, plan, found, rules, root)
    intake = _intake(model, chosen, progress, plan, found, quarantine)
    if not chosen.batches:
        return intake  # no dataset can be made: what was chosen before stays
    _keep(model, progress, chosen, root)
    return intake


def judged_by(model: str, data: DataSection, root: Path = Path()) -> str:
    """Return the digest of what a batch is judged by: the suite, and the configuration of the data.

    Raises:
        SuiteError: there is no suite, or it is not JSON.
    """
    from components.validation.suite import suite_digest

    return record_digest({"suite": suite_digest(model, root), "data": data.model_dump(mode="json")})


def hold_new(model: str, data: DataSection, reason: str, root: Path = Path()) -> tuple[str, ...]:
    """Put into quarantine what was new in a dataset that was refused as a whole, and return the batches' names.

    A dataset whose every batch is new is left as it is: there is nothing good to go on with.
    """
    if data.unit is None or was_validated(model, root):
        return ()
    progress = progress_of(model, data, root)
    if not progress.good or not progress.pending:
        return ()
    words, rules = (f"with it the dataset as a whole was refused: {reason}",), judged_by(model, data, root)
    entries = [Entry(each.name, each.version, Decision.HELD, words, rules) for each in progress.pending]
    change_quarantine(model, lambda record: record.put(*entries), root)
    return tuple(each.name for each in progress.pending)


def _as_it_stands(quarantine: Quarantine) -> Decide:
    """Return what honours every decision, also one that was made by other rules."""

    def decide(name: str, version: str) -> Decision | None:
        entry = quarantine.find(name, version)
        return entry.decision if entry else None

    return decide


def _plan_files(source: FilesSource, progress: Progress, decide: Decide, root: Path) -> BatchPlan:
    listed = list_batches(source, root)
    same_pattern = progress.chosen is not None and progress.chosen.origin == source.path
    if not listed and not same_pattern:
        raise nothing_matches(source, root)
    return plan_batches(progress.good, (*progress.pending, *progress.held), listed, decide)


def _chosen(data: DataSection, progress: Progress, plan: BatchPlan, found: Iterable[Found]) -> BatchedSource:
    batches = {batch.name: batch for batch in (*plan.kept, *(each.batch for each in found if each.batch))}
    good = {(batch.name, batch.version) for batch in progress.good}
    versions = {(batch.name, batch.version) for batch in batches.values()}
    assert data.unit is not None
    assert not isinstance(data.source, SklearnSource)
    return BatchedSource(
        kind=data.source.kind,
        origin=origin_of(data.source),
        unit=data.unit,
        batches=tuple(batches[name] for name in sorted(batches)),
        new=tuple(name for name in sorted(batches) if (name, batches[name].version) not in good),
        replaced=tuple(batch for batch in progress.good if (batch.name, batch.version) not in versions),
        held=plan.waiting,
    )


def _keep(model: str, progress: Progress, chosen: BatchedSource, root: Path) -> None:
    if progress.chosen is None or not _same(progress.chosen, chosen):
        write_json(source_file(model, root), chosen)
    prune(model, (*chosen.batches, *chosen.replaced, *chosen.held), root)
    track_batches(model, root)


def _same(before: BatchedSource, now: BatchedSource) -> bool:
    """Whether both stand for the same batches: what was new in them is no difference."""
    return (before.origin, before.unit, before.batches, before.held) == (now.origin, now.unit, now.batches, now.held)


def _write_down(model: str, plan: BatchPlan, found: Sequence[Found], rules: str, root: Path) -> Quarantine:
    """Note what was found bad, and forget what is bad no more."""
    bad = [Entry(each.name, each.version, Decision.HELD, each.reasons, rules) for each in found if each.reasons]
    still = {(each.name, each.version) for each in plan.held}

    def change(record: Quarantine) -> Quarantine:
        return record.only_held(still).put(*bad)

    return change_quarantine(model, change, root)


def _intake(
    model: str,
    chosen: BatchedSource,
    progress: Progress,
    plan: BatchPlan,
    found: Sequence[Found],
    quarantine: Quarantine,
) -> Intake:
    new = [batch for batch in chosen.batches if batch.name in chosen.new]
    names = {batch.name for batch in chosen.batches}
    before = {batch.name: batch.version for batch in progress.good}
    return Intake(
        model=model,
        batches=len(chosen.batches),
        rows=sum(batch.rows for batch in chosen.batches),
        new=chosen.new,
        late=tuple(batch.name for batch in new if batch.late),
        corrected=tuple(batch.name for batch in new if batch.name in before),
        removed=tuple(batch.name for batch in chosen.replaced if batch.name not in names),
        quarantined=tuple(BadBatch(each.name, each.version, each.reasons) for each in found if each.reasons),
        held=tuple(_held(each, quarantine) for each in plan.held),
        gone=len(plan.gone),
    )


def _held(listed: Listed, quarantine: Quarantine) -> BadBatch:
    entry = quarantine.find(listed.name, listed.version)
    return BadBatch(listed.name, listed.version, entry.reasons if entry else ())
