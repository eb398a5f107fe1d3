"""The bytes of every batch that was taken, by digest, in ``data/<model>/batches``. Knows no watermark and no verdict.

What is here outlives its source: a dataset is always made from this store. DVC keeps it beside the datasets.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from components.data.batch_plan import Listed
from components.data.config import COMPRESSIONS, FilesSource
from components.data.fetch import LocalFile, probed_files
from components.data.snapshot import Snapshot
from components.errors import SourceError
from components.stage.files import file_digest, require_digest, sync
from components.types.batches import Batch, StoredFile

_ARRIVING = ".arriving-"


def batches_dir(model: str, root: Path = Path()) -> Path:
    """Return the folder of a model's batch store."""
    return root / "data" / model / "batches"


def stored_name(file: StoredFile) -> str:
    """Return a file's name in the store: its digest, and the ending by which a compressed file is known."""
    return file.sha256 + _compression(file.path)


@contextmanager
def arriving(model: str, root: Path = Path()) -> Iterator[Path]:
    """Give an empty folder on the store's own disk; what is left in it at the end is deleted."""
    folder = batches_dir(model, root)
    folder.mkdir(parents=True, exist_ok=True)
    landing = Path(mkdtemp(prefix=_ARRIVING, dir=folder.parent))
    try:
        yield landing
    finally:
        shutil.rmtree(landing, ignore_errors=True)


def fetch_batch(model: str, source: FilesSource, listed: Listed, root: Path, landing: Path) -> list[LocalFile]:
    """Copy a batch's files into `landing`, just as they were listed.

    Raises:
        SourceError: one is gone, or not as it was listed.
        InfrastructureError: a server does not answer.
    """
    snapshot = Snapshot(kind="files", origin=source.path, files=listed.files)
    with probed_files(model, source, snapshot, root, landing) as files:
        if source.is_remote:
            return list(files)
        return [
            LocalFile(each.place, _copied(each.path, landing / f"{n:06d}{_compression(each.place)}"))
            for n, each in enumerate(files)
        ]


def store(model: str, files: Sequence[LocalFile], root: Path = Path()) -> tuple[StoredFile, ...]:
    """Move files that arrived into the store; the same bytes again are the same file."""
    kept = []
    for each in files:
        file = StoredFile(each.place, file_digest(each.path), each.path.stat().st_size)
        sync(each.path)
        each.path.replace(batches_dir(model, root) / stored_name(file))
        kept.append(file)
    sync(batches_dir(model, root))
    return tuple(kept)


def require_stored(model: str, batches: Iterable[Batch], root: Path = Path()) -> list[LocalFile]:
    """Return the files of some batches in their order, without reading them.

    Raises:
        SourceError: one is not here.
    """
    files = [file for batch in batches for file in batch.files]
    found = [LocalFile(file.path, batches_dir(model, root) / stored_name(file)) for file in files]
    if missing := [each for each in found if not each.path.is_file()]:
        raise SourceError(
            f"{missing[0].path}, which holds {missing[0].place}, is missing; "
            f"`dvc pull data/{model}/batches.dvc` brings it"
        )
    return found


def stored_files(model: str, batches: Sequence[Batch], root: Path = Path()) -> list[LocalFile]:
    """Return the files of some batches in their order, every byte checked.

    Raises:
        SourceError: one is not here.
        DigestMismatchError: one was changed or damaged.
    """
    found = require_stored(model, batches, root)
    for each, file in zip(found, (file for batch in batches for file in batch.files), strict=True):
        require_digest(each.path, file.sha256)
    return found


def prune(model: str, batches: Iterable[Batch], root: Path = Path()) -> None:
    """Delete what belongs to none of these batches; DVC's cache still has what was ever in a dataset."""
    wanted = {stored_name(file) for batch in batches for file in batch.files}
    folder = batches_dir(model, root)
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in wanted:
            path.unlink()
    for leftover in folder.parent.glob(f"{_ARRIVING}*"):  # of a run that was killed; a model has one run at a time
        shutil.rmtree(leftover)


def _compression(name: str) -> str:
    return next((ending for ending in COMPRESSIONS if name.endswith(ending)), "")


def _copied(source: Path, target: Path) -> Path:
    shutil.copyfile(source, target)
    return target
