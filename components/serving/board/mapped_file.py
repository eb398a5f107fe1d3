"""A file of a fixed size as memory that several processes share. Knows nothing of what is in it."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from components.errors import InfrastructureError


def open_mapped(path: Path, size_bytes: int) -> mmap.mmap:
    """Return `path` mapped, made and filled with zeros where it is new, never smaller than it was.

    Its blocks are reserved now: a sparse file on a full disk would end the process at its first write (SIGBUS).

    Raises:
        InfrastructureError: there is no room for it, or it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            found = os.fstat(descriptor).st_size
            if found < size_bytes:
                _reserve(descriptor, size_bytes)
            return mmap.mmap(descriptor, max(found, size_bytes))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise InfrastructureError(
            f"{path} cannot be kept: {error.strerror}; the gateway needs {size_bytes} bytes there (--state-dir)"
        ) from error


def read_mapped(path: Path, size_bytes: int) -> mmap.mmap | None:
    """Return a file's first bytes mapped to be read, or None where it is not there, or not so long yet."""
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), size_bytes, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        return None


def _reserve(descriptor: int, size_bytes: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size_bytes)
    else:
        os.ftruncate(descriptor, size_bytes)


def write_whole(path: Path, content: bytes) -> None:
    """Replace a small file so that a reader sees the old bytes or the new ones; what a power cut loses is no loss.

    Raises:
        OSError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)


def write_once(path: Path, content: bytes) -> bool:
    """Write a file that nobody wrote before, whole; return False where somebody was first.

    Raises:
        OSError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True
