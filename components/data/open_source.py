"""One reader for each kind of source, after checking that it is still what the probe saw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from components.data.bundled import probe_bundled, read_bundled
from components.data.config import DataSection, FilesSource, SklearnSource, SqlSource
from components.data.fetch import LocalFile, probed_files
from components.data.rows import FrameReader, Reader
from components.data.snapshot import Snapshot, changed
from components.errors import SchemaError


@contextmanager
def open_source(model: str, section: DataSection, snapshot: Snapshot, root: Path, landing: Path) -> Iterator[Reader]:
    """Give a reader of the snapshot; what must be fetched first lands in `landing`.

    Raises:
        SourceError: the configuration or the source has changed since the probe, or the source cannot be read.
        SchemaError: files are of several formats.
    """
    source = section.source
    origin = {"sklearn": "table", "files": "path", "sql": "query"}[source.kind]
    if (snapshot.kind, snapshot.origin) != (source.kind, getattr(source, origin)):
        raise changed(f"the configuration names another source (`source.{origin}` has changed)", model)
    if isinstance(source, SklearnSource):
        if probe_bundled(source.table) != snapshot:
            raise changed(f"scikit-learn's table {source.table} has changed", model)
        yield FrameReader(f"scikit-learn's {source.table}", read_bundled(source.table))
    elif isinstance(source, FilesSource):
        with probed_files(model, source, snapshot, root, landing) as files:
            yield file_reader(source, files)
    else:
        yield _sql_reader(model, source, snapshot, section.id, root, landing)


def file_reader(source: FilesSource, files: Sequence[LocalFile]) -> Reader:
    """Return a reader of files that are here.

    Raises:
        SchemaError: they are of several formats.
    """
    formats = sorted({source.format_of(file.place) or "" for file in files})
    if len(formats) > 1:
        raise SchemaError(
            f"{source.path} matches files of several formats ({', '.join(formats)}); narrow `source.path`"
        )
    if formats == ["parquet"]:
        from components.data.parquet_reader import ParquetReader

        return ParquetReader(files)
    if formats == ["jsonl"]:
        from components.data.jsonl_reader import JsonlReader

        return JsonlReader(files)
    from components.data.csv_reader import CsvReader

    return CsvReader(files, source.csv)


def _sql_reader(
    model: str, source: SqlSource, snapshot: Snapshot, id_column: str | None, root: Path, landing: Path
) -> Reader:
    from components.data.sql_reader import land
    from components.data.sql_source import probed_rows

    with probed_rows(model, source, snapshot, id_column, root) as (names, lots):
        return land(names, lots, landing)
