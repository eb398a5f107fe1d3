"""Check that what DVC put into the workspace is what ``dvc.lock`` promises, by its bytes. Runs no stage.

DVC itself takes it for granted: it does not look into a file of its cache that is read-only, and remembers the digest
of a file for as long as its time and size stay the same. A bit that flipped on the disk would be trained on.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import DigestMismatchError

if TYPE_CHECKING:
    from dvc.repo import Repo


def require_whole_outputs(repository: Repo, stage: str) -> None:
    """Check the outputs of a stage that did not run; damaged ones are deleted, here and in DVC's cache.

    Raises:
        DigestMismatchError: the bytes of an output are others; the next run fetches or makes it again.
    """
    for found in repository.stage.collect(stage):
        for output in found.outs:
            if output.use_cache and output.hash_info and _digest_now(output) != output.hash_info:
                _forget(output)
                raise DigestMismatchError(
                    f"{output} of stage {stage} has other bytes than dvc.lock promises: DVC's cache or the folder was "
                    "damaged; what was damaged is deleted: run again to fetch or rebuild it"
                )


def forget_damaged_lists(repository: Repo, stage: str) -> None:
    """Delete from DVC's cache the damaged ones of what says which files a folder has; DVC then takes them for missing.

    It would otherwise fail at them with words that help nobody, at every run, or write files where they do not belong.
    """
    for found in repository.stage.collect(stage):
        for output in found.outs:
            if output.use_cache and output.hash_info and output.hash_info.isdir:
                cached, digest = Path(output.cache.oid_to_path(output.hash_info.value)), output.hash_info.value
                if cached.is_file() and not _is_whole(cached, digest):
                    cached.unlink()


def _digest_now(output: Any) -> Any:
    """Return the digest of an output's bytes, whatever DVC remembers of them."""
    from dvc_data.hashfile.build import build

    forgetful = type(output.cache)(output.cache.fs, output.cache.path)
    _, _, found = build(forgetful, output.fs_path, output.fs, output.hash_name, dry_run=True, ignore=output.dvcignore)
    return found.hash_info


def _forget(output: Any) -> None:
    for cached, digest in _cached(output):
        if cached.is_file() and not _is_whole(cached, digest):
            cached.unlink()
    folder = Path(output.fs_path)
    if folder.is_dir():
        shutil.rmtree(folder)
    else:
        folder.unlink(missing_ok=True)


def _cached(output: Any) -> Iterator[tuple[Path, str]]:
    """Yield every file of the cache that an output is made of, the list of a folder's files last."""
    from dvc_data.hashfile.tree import Tree

    tree = output.get_obj()
    digests = [each.value for _, _, each in tree] if isinstance(tree, Tree) else []
    for digest in [*digests, output.hash_info.value]:
        yield Path(output.cache.oid_to_path(digest)), digest


def _is_whole(cached: Path, digest: str) -> bool:
    from dvc_data.hashfile.hash import fobj_md5

    with cached.open("rb") as file:
        found: str = fobj_md5(file)
    return found == digest.removesuffix(".dir")
