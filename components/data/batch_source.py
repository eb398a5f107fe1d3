"""What an incremental source's probe recorded, and a reader of it from the batch store. Asks no source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from components.data.batch_store import stored_files
from components.data.config import DataSection, FilesSource, SqlSource
from components.data.fetch import LocalFile
from components.data.open_source import file_reader
from components.data.rows import Reader
from components.data.snapshot import PROBE_ADVICE, changed, source_file
from components.errors import SourceError
from components.stage.files import record_digest
from components.types.batches import BatchedSource, Unit
from components.types.record import read


def origin_of(source: FilesSource | SqlSource) -> str:
    """Return what names an incremental source: its pattern, or its query."""
    return source.path if isinstance(source, FilesSource) else source.query


def read_batched(model: str, root: Path = Path()) -> tuple[BatchedSource, str]:
    """Return the batches that were chosen, and one digest over them: which of them were new is no part of it.

    Raises:
        SourceError: there are none, or the record cannot be read.
    """
    path = source_file(model, root)
    advice = PROBE_ADVICE.format(model=model)
    try:
        source = read(BatchedSource, path)
    except FileNotFoundError:
        raise SourceError(f"{path} is missing: never probed; {advice}") from None
    except (ValueError, OSError) as error:
        raise SourceError(f"{path} lists no batches ({error}); {advice}") from error
    return source, record_digest((source.kind, source.origin, source.unit, source.batches))


def open_batches(model: str, section: DataSection, probed: BatchedSource, root: Path) -> Reader:
    """Return a reader of all chosen batches.

    Raises:
        SourceError: the configuration has changed since, or bytes are not here.
        DigestMismatchError: bytes were changed or damaged.
    """
    source = section.source
    if not isinstance(source, FilesSource | SqlSource) or (
        (probed.kind, probed.origin, probed.unit) != (source.kind, origin_of(source), section.unit)
    ):
        raise changed("the configuration names another source", model)
    return batch_reader(section, stored_files(model, probed.batches, root))


def batch_reader(section: DataSection, files: Sequence[LocalFile]) -> Reader:
    """Return a reader of the files of some batches, in order.

    Raises:
        SchemaError: they are of several formats.
    """
    source = section.source
    if isinstance(source, FilesSource):
        reader = file_reader(source, files)
        if section.unit is not Unit.PARTITION:
            return reader
        from components.data.partitioned import PartitionedReader

        return PartitionedReader(reader)
    from components.data.sql_batches import NewestRows

    return NewestRows(tuple(files), section.id or "")
