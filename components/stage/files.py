"""Digests, and files that appear whole or not at all. Knows nothing of what is in them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from components.errors import DigestMismatchError
from components.types.record import canonical_json, dump


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def text_digest(text: str) -> str:
    """Return the SHA-256 of a text's UTF-8 bytes as 64 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def record_digest(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of a record or of plain JSON types."""
    return text_digest(canonical_json(value))


def tree_digest(directory: Path) -> str:
    """Return the SHA-256 over the relative names and digests of all files below `directory`.

    Raises:
        DigestMismatchError: something below it is neither a plain file nor a folder (a link could be swapped).
    """
    entries: dict[str, str] = {}
    for path in sorted(directory.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise DigestMismatchError(f"{path} is not a plain file; an artifact may hold plain files only")
        if path.is_file():
            entries[path.relative_to(directory).as_posix()] = file_digest(path)
    return record_digest(entries)


def require_digest(path: Path, expected: str) -> None:
    """Check a file's or folder's bytes against the digest that was promised, at the point of use.

    Raises:
        DigestMismatchError: the bytes are others, or nothing is there.
    """
    if not path.exists():
        raise DigestMismatchError(f"{path} is missing; expected bytes with digest {expected[:12]}")
    found = tree_digest(path) if path.is_dir() else file_digest(path)
    if found != expected:
        raise DigestMismatchError(
            f"{path} has digest {found[:12]} where {expected[:12]} was promised; "
            "the bytes were changed or damaged: delete them and run again to fetch or rebuild them"
        )


def write_text(path: Path, text: str, *, mode: int = 0o666) -> None:
    """Write a file so that a reader sees the old text or the new one, also after a crash (temp, fsync, rename).

    Args:
        path: The file; its folder is made.
        text: What it shall hold.
        mode: Who may read and write it, from its first byte on; the process' own mask is taken off.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8", opener=partial(os.open, mode=mode)) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write a record or plain JSON types with `write_text`: indented, sorted keys, one trailing newline."""
    text = json.dumps(dump(value), indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    write_text(path, text + "\n")


@contextmanager
def whole_directory(target: Path) -> Iterator[Path]:
    """Give an empty folder beside `target`, and put it in `target`'s place when the block ends without an error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    temporary.chmod(0o755)
    try:
        yield temporary
        if target.exists():
            shutil.rmtree(target)
        temporary.replace(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sync(path: Path) -> None:
    """Make a file's bytes, or the names in a folder, outlast a crash of the machine.

    Raises:
        OSError: the disk failed.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
