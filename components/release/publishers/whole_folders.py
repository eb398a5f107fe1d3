"""Folders that appear whole, vanish whole, and leave nothing behind when a process dies. Knows nothing of models.

They are filled in, and taken apart in, a part folder beside their place: one name for all, so that it can be cleared.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

from components.errors import DigestMismatchError
from components.stage.files import require_digest, sync

_PART = ".part-"


def appear(root: Path, target: Path, fill: Callable[[Path], None]) -> None:
    """Make a folder appear, or replace one, by a rename of what `fill` put into an empty folder.

    Raises:
        OSError: the disk failed; the place is as it was.
    """
    part = Path(mkdtemp(prefix=_PART, dir=root))
    try:
        copy = part / "new"
        copy.mkdir()
        fill(copy)
        _make_durable(copy)
        if target.exists():
            target.rename(part / "old")
        copy.rename(target)
        sync(target.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def vanish(root: Path, target: Path) -> None:
    """Make a folder vanish at once; done before, it changes nothing.

    Raises:
        OSError: the disk failed.
    """
    if not target.exists():
        return
    part = Path(mkdtemp(prefix=_PART, dir=root))
    try:
        target.rename(part / "old")
        sync(target.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def copy_checked(source: Path, target: Path, digest: str) -> None:
    """Copy a folder's content into an empty one, and check the bytes that arrived.

    Raises:
        DigestMismatchError: they are not those that were promised.
        OSError: the disk failed.
    """
    try:
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True, copy_function=shutil.copyfile)
    except shutil.Error as error:
        raise OSError(0, str(error)) from error
    require_digest(target, digest)


def holds(folder: Path, digest: str) -> bool:
    """Return whether a folder is there and has these bytes."""
    try:
        require_digest(folder, digest)
    except (DigestMismatchError, OSError):
        return False
    return True


def clear(root: Path) -> None:
    """Remove what publishers left that died at work; only while no other one works.

    Raises:
        OSError: the disk failed.
    """
    for folder in root.glob(f"{_PART}*"):
        shutil.rmtree(folder)
    for file in [*root.glob(".*.tmp"), *root.glob("*/.*.tmp")]:  # of files that were about to be replaced
        file.unlink(missing_ok=True)


def _make_durable(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        path.chmod(0o755 if path.is_dir() else 0o644)  # the server is often another user
        sync(path)
