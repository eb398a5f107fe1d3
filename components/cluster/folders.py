"""Carry a folder from one machine to another in pieces, checked by its digest at the end. Knows no cluster."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from components.errors import DigestMismatchError
from components.stage.files import file_digest, record_digest, tree_digest

CHUNK_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Chunk:
    """A piece of a file, or (when the path ends in a slash) a folder."""

    path: str
    """Relative, with slashes."""
    offset: int
    data: bytes


def chunks(folder: Path, wanted: Callable[[str], bool] = lambda _: True) -> Iterator[Chunk]:
    """Give the pieces of all files below `folder` whose relative path is wanted, one after the other.

    Raises:
        DigestMismatchError: something below it is neither a plain file nor a folder.
        FileNotFoundError: it is gone, or a part of it.
    """
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise DigestMismatchError(f"{path} is not a plain file; an artifact may hold plain files only")
        if path.is_dir():
            yield Chunk(f"{name}/", 0, b"")
        elif wanted(name):
            yield from _file_chunks(path, name)


def subset_digest(folder: Path, wanted: Callable[[str], bool]) -> str:
    """Return the digest that `folder` would have with the wanted files alone, as `tree_digest` counts."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return record_digest({name: file_digest(path) for name, path in files.items() if wanted(name)})


def _file_chunks(path: Path, name: str) -> Iterator[Chunk]:
    with path.open("rb") as file:
        offset = 0
        while (data := file.read(CHUNK_BYTES)) or not offset:
            yield Chunk(name, offset, data)
            offset += len(data)
            if not data:
                return


def write_chunk(folder: Path, chunk: Chunk) -> None:
    """Put a piece where it belongs below `folder`.

    Raises:
        DigestMismatchError: its path leads out of the folder.
    """
    path = folder / chunk.path
    if folder.resolve() not in (path.resolve(), *path.resolve().parents):
        raise DigestMismatchError(f"{chunk.path} leads out of the folder it was sent for; nothing was written")
    if chunk.path.endswith("/"):
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        view = memoryview(chunk.data)
        while view:
            written = os.pwrite(descriptor, view, chunk.offset + len(chunk.data) - len(view))
            view = view[written:]
    finally:
        os.close(descriptor)


class Arrival:
    """A folder that is on its way: beside its place until it is whole."""

    def __init__(self, target: Path) -> None:
        """Receive what will be `target`."""
        target.parent.mkdir(parents=True, exist_ok=True)
        self.target = target
        self._temporary = Path(mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        self._temporary.chmod(0o755)

    def write(self, chunk: Chunk) -> None:
        """Take a piece, in any order.

        Raises:
            DigestMismatchError: its path leads out of the folder.
        """
        write_chunk(self._temporary, chunk)

    def finish(self, digest: str) -> None:
        """Put the folder in its place, unless somebody else was faster.

        Raises:
            DigestMismatchError: the bytes are not those that were sent.
        """
        found = tree_digest(self._temporary)
        if found != digest:
            self.abandon()
            raise DigestMismatchError(
                f"{self.target.name} arrived with digest {found[:12]} where {digest[:12]} was sent; run again"
            )
        try:
            self._temporary.replace(self.target)
        except OSError:
            if not self.target.is_dir():
                raise
            self.abandon()

    def abandon(self) -> None:
        """Forget what has come."""
        shutil.rmtree(self._temporary, ignore_errors=True)
