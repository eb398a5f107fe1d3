"""The batches that files make: each file one, or each folder of them. Reads no row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

from components.data.batch_plan import Listed
from components.data.config import FilesSource
from components.data.listing import matching_entries
from components.data.snapshot import FileEntry
from components.stage.files import record_digest

_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


def list_batches(source: FilesSource, root: Path) -> tuple[Listed, ...]:
    """Return the batches that are at the source now, in the order of their names; there may be none.

    Raises:
        SourceError: a file cannot be read, or says no format.
        MissingExtraError: the store's library is not installed.
        InfrastructureError: a server does not answer.
    """
    entries = matching_entries(source, root)
    if source.batches == "file":
        return tuple(Listed(each.path, _version(each), (each,)) for each in entries)
    folders: dict[str, list[FileEntry]] = {}
    for each in entries:
        folders.setdefault(each.path.rpartition("/")[0], []).append(each)
    return tuple(Listed(name, _folder_version(files), tuple(files)) for name, files in sorted(folders.items()))


def partition_values(path: str) -> dict[str, str | None]:
    """Return what the folders of a path say as Hive writes it: ``day=2026-01-31/`` is the column ``day``."""
    return dict(_values(path.split("/")[:-1]))


def _values(folders: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    for folder in folders:
        key, sign, value = folder.partition("=")
        if sign and key:
            yield unquote(key), None if value == _NO_VALUE else unquote(value)


def _version(entry: FileEntry) -> str:
    return entry.sha256 or f"etag {entry.etag}"


def _folder_version(files: Sequence[FileEntry]) -> str:
    return record_digest({each.path: _version(each) for each in files})
