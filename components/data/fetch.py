"""Bring the probed files to where they can be read, and refuse any that is not as it was probed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from components.data.config import FilesSource
from components.data.listing import download, remote_entry
from components.data.snapshot import FileEntry, Snapshot, changed
from components.stage.files import file_digest


@dataclass(frozen=True)
class LocalFile:
    """A file that is here now."""

    place: str
    """As the configuration writes it."""
    path: Path


@contextmanager
def probed_files(
    model: str, source: FilesSource, snapshot: Snapshot, root: Path, landing: Path
) -> Iterator[list[LocalFile]]:
    """Give the files of the snapshot; remote ones are copied into `landing`.

    Raises:
        SourceError: one is gone, or not as it was probed, or changed while it was read.
        InfrastructureError: a server does not answer.
    """
    if source.is_remote:
        yield [_landed(model, entry, landing, number) for number, entry in enumerate(snapshot.files)]
        return
    files = [LocalFile(entry.path, root / entry.path) for entry in snapshot.files]
    states = [_state(model, file) for file in files]
    for file, entry in zip(files, snapshot.files, strict=True):
        if file_digest(file.path) != entry.sha256:
            raise changed(f"{file.place} has changed", model)
    yield files
    for file, state in zip(files, states, strict=True):
        if _state(model, file) != state:
            raise changed(f"{file.place} was written to while it was read, so it is not as it was", model)


def _state(model: str, file: LocalFile) -> tuple[int, int, int]:
    try:
        found = file.path.stat()
    except FileNotFoundError:
        raise changed(f"{file.place} is gone", model) from None
    return found.st_size, found.st_mtime_ns, found.st_ino


def _landed(model: str, entry: FileEntry, landing: Path, number: int) -> LocalFile:
    copy = landing / f"{number:06d}-{entry.path.partition('?')[0].rstrip('/').rpartition('/')[2]}"
    download(entry.path, copy)
    if entry.sha256 is not None:
        same = file_digest(copy) == entry.sha256
    else:
        same = remote_entry(entry.path).etag == entry.etag and entry.size_bytes in (None, copy.stat().st_size)
    if not same:
        raise changed(f"{entry.path} has changed", model)
    return LocalFile(entry.path, copy)
