"""What is done on a node: folders that were sent are kept by their digest, once for all who need them. No Ray here.

They lie below ``$TMPDIR/towpath-<user>`` of the node, and are deleted when nobody has used them for a week.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from components.cluster.folders import Arrival, Chunk
from components.cluster.packages import installed_here
from components.errors import DigestMismatchError, InfrastructureError
from components.stage.files import tree_digest

UNUSED_S = 7 * 24 * 3600.0


def node_dir() -> Path:
    """Return this user's folder on this node, made if missing; nobody else may write there.

    Raises:
        InfrastructureError: it is somebody else's.
    """
    folder = Path(tempfile.gettempdir()) / f"towpath-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise InfrastructureError(f"{folder} on {socket.gethostname()} is open to others; remove it there")
    return folder


class Node:
    """Takes folders on this node; an actor's body, whose subclasses use them."""

    def __init__(self) -> None:
        """Forget what nobody used for long."""
        self._base = node_dir()
        self._arrivals: dict[str, Arrival] = {}
        self._lock = threading.Lock()
        for path in [*self._base.glob("*/*"), *self._base.glob("*/.*")]:
            with contextlib.suppress(FileNotFoundError):  # others forget as well
                if time.time() - path.stat().st_mtime > UNUSED_S:
                    shutil.rmtree(path, ignore_errors=True)

    def name(self) -> str:
        """Return the node's name, for messages."""
        return socket.gethostname()

    def installed(self) -> dict[str, str]:
        """Return what is installed here, of what is locked by the code that was sent."""
        return installed_here()

    def has(self, kind: str, digest: str) -> bool:
        """Say whether a folder is here already, whole; one that was changed or damaged since it came is deleted."""
        path = self._kept(kind, digest)
        if not path.is_dir():
            return False
        if _is_whole(path, digest):
            return True
        with self._alone():
            if path.is_dir() and not _is_whole(path, digest):  # nobody else has renewed it meanwhile
                _delete(path)
        return False

    def receive(self, kind: str, digest: str, chunk: Chunk) -> None:
        """Take a piece of a folder.

        Raises:
            DigestMismatchError: its path leads out of the folder.
        """
        self._arrival(kind, digest).write(chunk)

    def finish(self, kind: str, digest: str) -> None:
        """Keep the folder, of which all pieces have come.

        Raises:
            DigestMismatchError: the bytes are not those that were sent.
        """
        arrival = self._arrival(kind, digest)  # of an empty folder no piece has come
        del self._arrivals[digest]
        arrival.finish(digest)

    def _arrival(self, kind: str, digest: str) -> Arrival:
        with self._lock:  # pieces come in several threads
            if digest not in self._arrivals:
                self._arrivals[digest] = Arrival(self._kept(kind, digest))
            return self._arrivals[digest]

    def _kept(self, kind: str, digest: str) -> Path:
        path = self._base / kind / digest
        with contextlib.suppress(FileNotFoundError):
            os.utime(path)
        return path

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep this user's other processes on the node from deleting what one of them deletes and renews."""
        descriptor = os.open(self._base, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _is_whole(path: Path, digest: str) -> bool:
    """Say whether a folder's bytes are those that were sent; one that cannot be read is not whole."""
    try:
        return tree_digest(path) == digest
    except (OSError, DigestMismatchError):
        return False


def _delete(path: Path) -> None:
    """Delete a folder so that half of it is never seen in its place."""
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    with contextlib.suppress(FileNotFoundError):  # whoever cleans up here was faster
        path.replace(aside)
    shutil.rmtree(aside, ignore_errors=True)
