"""Products by their digest: put whole or not at all, never changed, checked whenever they are handed out.

Knows nothing of where products come from; serving takes its paths and digests and nothing else.
"""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path
from tempfile import mkdtemp

from components.errors import DigestMismatchError, InfrastructureError, UnknownNameError
from components.stage.files import require_digest, sync, tree_digest

_DIGEST = re.compile(r"[0-9a-f]{64}")
_UNFINISHED = ".put-"
_ABANDONED_S = 6 * 3600.0
"""An unfinished copy that is older was left by a writer that was killed; no copy takes so long."""


class Store:
    """A folder of folders, each named by the digest of what is in it."""

    def __init__(self, root: Path) -> None:
        """Remember the folder; it is made by the first `put`."""
        self.root = root

    def put(self, directory: Path) -> str:
        """Copy a folder into the store and return its digest; what is there already is kept, if it is whole.

        Raises:
            DigestMismatchError: something in it is not a plain file.
            InfrastructureError: the disk failed; nothing of it can be seen.
        """
        return self._put(directory, None)

    def copy_from(self, other: Store, digest: str) -> Path:
        """Take a product over from another store and return its folder here; one that is here and whole is kept.

        Raises:
            UnknownNameError: the other store does not have it.
            DigestMismatchError: its bytes are not those that were promised; nothing of it can be seen here.
            InfrastructureError: the disk failed; nothing of it can be seen here.
        """
        if not (digest in self and _is_whole(self._target(digest), digest)):
            self._put(other.path(digest), digest)
        return self.path(digest)

    def path(self, digest: str) -> Path:
        """Return the folder with this digest, its bytes checked now.

        Raises:
            UnknownNameError: it is not in the store.
            DigestMismatchError: its bytes were changed since.
            InfrastructureError: the disk failed.
        """
        target = self._target(digest)
        if not target.is_dir():
            raise UnknownNameError(f"the store {self.root} has no product {digest[:12]}; fetch it from the registry")
        try:
            require_digest(target, digest)
        except OSError as error:
            raise InfrastructureError(f"{target} cannot be read ({error.strerror}); check the disk") from error
        return target

    def __contains__(self, digest: str) -> bool:
        """Say whether something is stored under this digest; `path` checks its bytes."""
        return self._target(digest).is_dir()

    def _put(self, directory: Path, expected: str | None) -> str:
        temporary: Path | None = None
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._sweep()
            temporary = Path(mkdtemp(prefix=_UNFINISHED, dir=self.root))
            copy = temporary / "copy"
            shutil.copytree(directory, copy, symlinks=True)
            digest = tree_digest(copy)  # of the copy: the source may change under our hands
            if expected is not None and digest != expected:
                raise DigestMismatchError(
                    f"{directory} was copied with digest {digest[:12]} where {expected[:12]} was promised; "
                    "it changed while it was copied: fetch it again"
                )
            _seal(copy)
            self._publish(copy, digest)
        except (OSError, shutil.Error) as error:
            raise InfrastructureError(f"{directory} cannot be put into the store {self.root}: {error}") from error
        finally:
            if temporary is not None:
                shutil.rmtree(temporary, ignore_errors=True)
        return digest

    def _sweep(self) -> None:
        """Delete what killed writers left; somebody else may be sweeping too."""
        now = time.time()
        for unfinished in self.root.glob(f"{_UNFINISHED}*"):
            try:
                abandoned = now - unfinished.lstat().st_mtime > _ABANDONED_S
            except FileNotFoundError:
                continue
            if abandoned:
                shutil.rmtree(unfinished, ignore_errors=True)

    def _target(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise UnknownNameError(f"{digest[:80]!r} is no digest; expected 64 hex digits")
        return self.root / digest

    def _publish(self, copy: Path, digest: str) -> None:
        target = self._target(digest)
        copy.chmod(0o755)
        try:
            copy.rename(target)
        except OSError:
            if not target.is_dir():
                raise
            if not _is_whole(target, digest):
                damaged = copy.with_name("damaged")
                target.rename(damaged)
                copy.rename(target)
        sync(self.root)


def _is_whole(target: Path, digest: str) -> bool:
    try:
        require_digest(target, digest)
    except DigestMismatchError:
        return False
    return True


def _seal(directory: Path) -> None:
    """Make every file read-only and durable."""
    for path in [directory, *directory.rglob("*")]:
        if path.is_file():
            path.chmod(0o444)
        sync(path)
