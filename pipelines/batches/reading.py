"""Read one batch, judge it by itself, and keep its bytes when it is good. Decides nothing about the dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from components.data.batch_plan import Candidate, Decide
from components.data.batch_source import batch_reader
from components.data.batch_store import arriving, fetch_batch, store, stored_files
from components.data.config import DataSection, FilesSource, SqlSource
from components.data.fetch import LocalFile
from components.data.ingest import ingest_alone
from components.errors import SchemaError, SourceError
from components.stage.files import file_digest, text_digest
from components.types.batches import Batch, Decision, StoredFile, Window
from components.validation.suite import Suite, read_suite


@dataclass(frozen=True)
class Found:
    """What came of one batch."""

    name: str
    version: str
    batch: Batch | None = None
    """None when it is not good."""
    reasons: tuple[str, ...] = ()
    """What was found to speak against it; empty when it is good, or was held before."""
    is_held: bool = False
    """It is in quarantine, and was not judged again."""


class Reading:
    """Reads a model's batches one after the other."""

    def __init__(self, model: str, data: DataSection, root: Path, *, judge: bool) -> None:
        """Prepare to read; the suite is needed when every batch must meet it by itself."""
        self._model, self._data, self._root, self._judge = model, data, root, judge

    def files(self, candidate: Candidate) -> Found:
        """Read a batch of files.

        Raises:
            InfrastructureError: a server does not answer.
            SuiteError: the suite cannot be used.
        """
        assert isinstance(self._data.source, FilesSource)
        listed = candidate.listed
        with arriving(self._model, self._root) as landing:
            try:
                files = fetch_batch(self._model, self._data.source, listed, self._root, landing)
                rows, reasons = self._judged(files, released=candidate.released)
            except (SourceError, SchemaError) as error:
                return Found(listed.name, listed.version, reasons=(str(error),))
            if reasons:
                return Found(listed.name, listed.version, reasons=reasons)
            kept = store(self._model, files, self._root)
        batch = Batch(listed.name, listed.version, kept, rows, candidate.late, candidate.corrects)
        return Found(listed.name, listed.version, batch)

    def news(self, good: Sequence[Batch], decide: Decide) -> list[Found]:
        """Read the rows of an SQL query that are new or were changed; none, or one batch of them.

        Raises:
            ConfigError: the watermark or the lookback cannot be used.
            SourceError: the query cannot be read, or rows have no watermark.
            InfrastructureError: the database cannot be reached.
            SuiteError: the suite cannot be used.
        """
        from components.data.sql_batches import land_news
        from components.data.sql_window import window_rows

        assert isinstance(self._data.source, SqlSource)
        last = good[-1].window if good else None
        name, id_column = f"{int(good[-1].name) + 1 if good else 1:06d}", self._data.id or ""
        known = stored_files(self._model, good, self._root)
        with (
            arriving(self._model, self._root) as landing,
            window_rows(self._data.source, id_column, last, self._root) as (window, names, lots),
        ):
            try:
                file = land_news(names, lots, id_column, known, landing)
                if file is None:
                    return []
                version = file_digest(file.path)
                if (decision := decide(name, version)) is Decision.HELD:
                    return [Found(name, version, is_held=True)]
                rows, reasons = self._judged([file], released=decision is Decision.RELEASED)
            except SchemaError as error:
                version = text_digest(str(error))
                is_held = decide(name, version) is Decision.HELD
                return [Found(name, version, reasons=() if is_held else (str(error),), is_held=is_held)]
            if reasons:
                return [Found(name, version, reasons=reasons)]
            return [Found(name, version, self._kept(name, version, file, rows, window))]

    def _kept(self, name: str, version: str, file: LocalFile, rows: int, window: Window) -> Batch:
        kept: tuple[StoredFile, ...] = store(self._model, [file], self._root)
        return Batch(name, version, kept, rows, window=window)

    def _judged(self, files: Sequence[LocalFile], *, released: bool) -> tuple[int, tuple[str, ...]]:
        """Return a batch's rows, and what speaks against it by itself.

        Raises:
            SourceError: it cannot be read.
            SchemaError: its columns or values are not as expected.
            SuiteError: the suite cannot be used.
        """
        reader = batch_reader(self._data, files)
        expected = self._suite.meta.columns if self._suite else {}
        with TemporaryDirectory(prefix="towpath-batch-") as folder:
            manifest = ingest_alone(self._model, self._data, reader, expected, Path(folder))
            if self._suite is None or released:
                return manifest.rows, ()
            from components.validation.alone import judge_batch

            return manifest.rows, judge_batch(self._model, self._suite, Path(folder))

    @cached_property
    def _suite(self) -> Suite | None:
        return read_suite(self._model, self._root) if self._judge else None
