"""The log's folder: files that appear whole, left-overs swept, the oldest deleted. Knows nothing of what is in them."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from components.stage.files import sync

SUFFIX = ".parquet"
_PART = ".part"
_UNFINISHED = ".unfinished"
"""Where files are written before they are renamed: out of sight of whoever scans for Parquet."""
_LEFT_OVER_S = 600.0
"""A write takes seconds: what is older was left by a process of another machine that died."""


class LogFolder:
    """The files of one worker, and the size of all of them."""

    def __init__(self, root: Path, worker: int) -> None:
        self._root = root
        self._unfinished = root / _UNFINISHED
        self._mine = f"w{worker}-{socket.gethostname()}-{os.getpid()}"
        self._worker = worker
        self._count = 0

    def prepare(self) -> None:
        """Make the folder, so that one that cannot be written is known before the first file is due.

        Raises:
            OSError: it cannot be written.
        """
        self._unfinished.mkdir(parents=True, exist_ok=True)
        probe = self._unfinished / f"{self._mine}-0{_PART}"
        probe.touch()
        probe.unlink()

    def put(self, model: str, version: int, first_s: float, write: Callable[[Path], None]) -> int:
        """Let `write` fill a file, put it in its place, and return its size in bytes.

        Raises:
            OSError: the folder cannot be written; nothing of the file can be seen.
        """
        self._count += 1
        began = datetime.fromtimestamp(first_s, UTC)
        stem = f"{began:%Y%m%dT%H%M%S}.{began.microsecond:06d}Z-v{version}-w{self._worker}-{os.getpid()}-{self._count}"
        target = self._root / model / f"date={began.date().isoformat()}" / (stem + SUFFIX)
        self._unfinished.mkdir(parents=True, exist_ok=True)
        part = self._unfinished / f"{self._mine}-{self._count}{_PART}"
        try:
            write(part)
            sync(part)
            target.parent.mkdir(parents=True, exist_ok=True)
            size_bytes = part.stat().st_size
            part.replace(target)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
        return size_bytes

    def sweep(self) -> int:
        """Delete what dead processes left unfinished; return how many files that were.

        Raises:
            OSError: the folder cannot be read.
        """
        swept = 0
        for part in self._unfinished.glob(f"*{_PART}"):
            if self._is_left_over(part):
                with suppress(FileNotFoundError):
                    part.unlink()
                    swept += 1
        return swept

    def keep_within(self, total_bytes: int) -> int:
        """Delete the oldest files until the rest are at most `total_bytes`; return how many that were.

        Raises:
            OSError: the folder cannot be read or a file cannot be deleted.
        """
        found = sorted(self._files(), reverse=True)
        kept_bytes = deleted = 0
        for _, path, size_bytes in found:
            kept_bytes += size_bytes
            if kept_bytes <= total_bytes:
                continue
            with suppress(FileNotFoundError):  # another worker was faster
                path.unlink()
                deleted += 1
            if path.parent.name != f"date={datetime.now(UTC).date().isoformat()}":
                with suppress(OSError):  # not empty yet
                    path.parent.rmdir()
        return deleted

    def _files(self) -> Iterator[tuple[str, Path, int]]:
        for path in self._root.glob(f"*/date=*/*{SUFFIX}"):
            with suppress(FileNotFoundError):
                yield path.name, path, path.stat().st_size

    def _is_left_over(self, part: Path) -> bool:
        host_and_pid = part.name.removesuffix(_PART).split("-", 1)[1].rpartition("-")[0]
        host, _, pid = host_and_pid.rpartition("-")
        if host == socket.gethostname() and pid.isdigit():
            # in a container every process has the same number: before the first file of this one it cannot be ours
            return not _is_alive(int(pid)) or (int(pid) == os.getpid() and self._count == 0)
        with suppress(FileNotFoundError):
            return time.time() - part.stat().st_mtime > _LEFT_OVER_S
        return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True
