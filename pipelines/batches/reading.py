"""Read one batch, judge it by itself, and keep its bytes when it is good. Decides nothing about the dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from components.data.batch_plan import Candidate, Decide, Listed
from components.data.batch_source import batch_reader
from components.data.batch_store import arriving, fetch_batch, store, stored_files
from components.data.config import DataSection, FilesSource, SqlSource
from components.data.fetch import LocalFile
from components.data.ingest import ingest_alone
from components.errors import InfrastructureError, SchemaError, SourceError
from components.stage.files import file_digest, text_digest
from components.types.batches import Batch, Decision, Window
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
        """Read a batch of files; bad is what it holds, and never that it could not be brought here.

        Raises:
            SourceError: a file may not be read, or is not as it was listed.
            InfrastructureError: a server does not answer, or the disk is full.
            SuiteError: the suite cannot be used.
        """
        listed = candidate.listed
        with arriving(self._model, self._root) as landing:
            files = self._fetched(listed, landing)
            try:
                rows, reasons = self._judged(files, released=candidate.released)
            except (SourceError, SchemaError) as error:
                return Found(listed.name, listed.version, reasons=(str(error),))
            if reasons:
                return Found(listed.name, listed.version, reasons=reasons)
            kept = store(self._model, files, self._root)
        batch = Batch(listed.name, listed.version, kept, rows, candidate.late, candidate.corrects)
        return Found(listed.name, listed.version, batch)

    def _fetched(self, listed: Listed, landing: Path) -> list[LocalFile]:
        assert isinstance(self._data.source, FilesSource)
        try:
            return fetch_batch(self._model, self._data.source, listed, self._root, landing)
        except (PermissionError, FileNotFoundError) as error:
            raise SourceError(
                f"{error.filename or listed.name} cannot be read: {error.strerror}; nothing of this look was taken: "
                "correct it, and run again"
            ) from error
        except OSError as error:
            raise InfrastructureError(
                f"{listed.name} cannot be copied into {landing.parent}: {error.strerror or error}; nothing of this "
                "look was taken: try again later"
            ) from error

    def news(
        self, good: Sequence[Batch], pending: Sequence[Batch], decide: Decide
    ) -> tuple[tuple[Batch, ...], list[Found]]:
        """Read the rows of an SQL query that are new or were changed.

        Args:
            good: What the last good dataset was made of.
            pending: What was read after it, and never came into a good dataset.
            decide: What was decided of single batches.

        Returns:
            What is kept: all that is good, and what was read before and the query does not give again. And what was
            found: nothing, or one batch.

        Raises:
            ConfigError: the watermark or the lookback cannot be used.
            SourceError: the query cannot be read, or rows have no watermark.
            InfrastructureError: the database cannot be reached.
            SuiteError: the suite cannot be used.
        """
        from components.data.sql_batches import land_window
        from components.data.sql_window import window_rows

        assert isinstance(self._data.source, SqlSource)
        id_column, last = self._data.id or "", good[-1].window if good else None
        read = [each for each in pending if decide(each.name, each.version) in (None, Decision.RELEASED)]
        with (
            arriving(self._model, self._root) as landing,
            window_rows(self._data.source, id_column, last, self._root, may_be_empty=bool(good or pending)) as (
                window,
                names,
                lots,
            ),
        ):
            try:
                landed = land_window(names, lots, landing)
            except SchemaError as error:
                kept = _in_order(good, read)
                return kept, [_unreadable(_next_name(kept), error, decide)]
            kept = _in_order(good, [each for each in read if not self._gives_again(landed, each)])
            return kept, self._found(landed, kept, window, decide, landing)

    def _gives_again(self, landed: Sequence[Path], batch: Batch) -> bool:
        from components.data.sql_batches import gives_all

        return gives_all(landed, stored_files(self._model, [batch], self._root), self._data.id or "")

    def _found(
        self, landed: Sequence[Path], kept: Sequence[Batch], window: Window | None, decide: Decide, landing: Path
    ) -> list[Found]:
        """Return what of a window is new beside what is kept, judged."""
        from components.data.sql_batches import news_of

        name, known = _next_name(kept), stored_files(self._model, kept, self._root)
        try:
            file = news_of(landed, self._data.id or "", known, landing)
            if file is None:
                return []
            version = file_digest(file.path)
            if (decision := decide(name, version)) is Decision.HELD:
                return [Found(name, version, is_held=True)]
            rows, reasons = self._judged([file], released=decision is Decision.RELEASED)
        except SchemaError as error:
            return [_unreadable(name, error, decide)]
        if reasons:
            return [Found(name, version, reasons=reasons)]
        stored = store(self._model, [file], self._root)
        return [Found(name, version, Batch(name, version, stored, rows, window=window))]

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


def _in_order(*batches: Sequence[Batch]) -> tuple[Batch, ...]:
    return tuple(sorted((each for some in batches for each in some), key=lambda batch: batch.name))


def _next_name(kept: Sequence[Batch]) -> str:
    return f"{int(kept[-1].name) + 1 if kept else 1:06d}"


def _unreadable(name: str, error: SchemaError, decide: Decide) -> Found:
    version = text_digest(str(error))
    is_held = decide(name, version) is Decision.HELD
    return Found(name, version, reasons=() if is_held else (str(error),), is_held=is_held)
