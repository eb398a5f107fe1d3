"""Who hears of new and bad batches: the person at the run, a webhook, Prometheus, MLflow, the report. Finds nothing.

All that is in quarantine is told at every run; who keeps a memory of what was told (the webhook) tells it once.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from components.data.config import DataSection
from components.errors import ConfigError, ValidationRefusedError
from components.stage.files import write_text
from components.types.batches import Decision
from pipelines.batches.quarantine import read_quarantine
from pipelines.batches.watermark import progress_of
from pipelines.console import RunView
from pipelines.outcome import BadBatch, Intake
from pipelines.state import STATE

if TYPE_CHECKING:
    from pipelines.schedules.notices import Notice

_FACT_CHARACTERS = 1_000


def tell_of_batches(intake: Intake, view: RunView, root: Path = Path()) -> None:
    """Tell everybody what a look at the source came to; somebody who cannot be told is named, and stops nothing."""
    for sentence in intake.sentences:
        view.note(sentence)
    write_metrics(intake, root)
    for problem in _send(intake, root):
        view.note(problem)


def require_good_news(intake: Intake) -> None:
    """Stop a run that would train on nothing new because what is new is bad.

    Raises:
        ValidationRefusedError: something was bad and nothing good was new, or there is no good batch at all.
    """
    if intake.is_refused:
        bad = [f"{each.name} ({'; '.join(each.reasons)})" for each in (*intake.quarantined, *intake.held)]
        what = f"no good new batch of {intake.model}" if intake.batches else f"no good batch of {intake.model} at all"
        raise ValidationRefusedError(
            f"{what}, and nothing was trained; in quarantine: {', '.join(bad)}; correct them at the source, or see "
            f"`towpath batches list {intake.model}`"
        )


def batch_tags(model: str, data: DataSection, root: Path = Path()) -> dict[str, str]:
    """Return `batch_facts` as tags of a run in MLflow.

    Raises:
        SourceError: ``source.json`` cannot be read.
    """
    return {f"towpath.{name}": value for name, value in batch_facts(model, data, root).items()}


def batch_facts(model: str, data: DataSection, root: Path = Path()) -> dict[str, str]:
    """Return what a run's record says of its batches; nothing for a source that is read as a whole.

    Raises:
        SourceError: ``source.json`` cannot be read.
    """
    chosen = progress_of(model, data, root).chosen if data.unit else None
    if chosen is None:
        return {}
    held = read_quarantine(model, root).held
    rows = sum(batch.rows for batch in chosen.batches)
    new = f"; new: {', '.join(chosen.new)}" if chosen.new else ""
    return {
        "batches": f"{len(chosen.batches)} with {rows} rows{new}"[:_FACT_CHARACTERS],
        "quarantined": (", ".join(sorted(held)) or "none")[:_FACT_CHARACTERS],
    }


def write_metrics(intake: Intake, root: Path = Path()) -> Path:
    """Write what Prometheus reads, beside the watchdog's own figures, and return the file."""
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    registry = CollectorRegistry()
    for name, words, value in (
        ("towpath_batches_quarantined", "Batches in quarantine.", len(intake.quarantined) + len(intake.held)),
        ("towpath_batches_taken", "Batches that the dataset is made of.", intake.batches),
        ("towpath_batches_new", "Batches that were new at the last look.", len(intake.new)),
        ("towpath_batches_last_look_timestamp_seconds", "When somebody looked last.", time.time()),
    ):
        Gauge(name, words, ["model"], registry=registry).labels(intake.model).set(value)
    path = root / STATE / "schedules" / f"batches-{intake.model}.prom"
    write_text(path, generate_latest(registry).decode())
    return path


def count_held(intake: Intake, root: Path = Path()) -> Path:
    """Write the figures of a look once more, with all that is in quarantine since, and return the file."""
    entries = read_quarantine(intake.model, root).entries
    held = tuple(BadBatch(e.name, e.version, e.reasons) for e in entries if e.decision is Decision.HELD)
    return write_metrics(replace(intake, quarantined=(), held=held), root)


def _send(intake: Intake, root: Path) -> list[str]:
    """Send a notice of each batch in quarantine that was not sent before, and return what went wrong."""
    from pipelines.schedules.notices import tell

    try:
        return tell((_notice(intake.model, bad) for bad in (*intake.quarantined, *intake.held)), root)[1]
    except ConfigError as error:
        return [str(error)]


def _notice(model: str, bad: BadBatch) -> Notice:
    from pipelines.schedules.notices import Notice

    sentence = f"batch {bad.name} of {model} is in quarantine: {'; '.join(bad.reasons)}"
    return Notice(f"quarantined-{model}-{bad.version[:16]}", "quarantined", f"training-{model}", sentence)
