"""How far a repository was brought, by model: the fence that keeps slow publishers out. Knows no server's layout.

The revision is written before anything else, so that after a death at any step nobody with a lower one undoes half of
it. The fences are files beside the models' folders, because servers take every folder of a repository for a model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from components.errors import FaultError, InfrastructureError, StaleRevisionError
from components.stage.files import write_json
from components.types import record
from components.types.release import TrafficSplit

_SUFFIX = ".towpath-rev"
_LOCK_WAIT_S = 30.0


@dataclass(frozen=True)
class Fence:
    """How far one model was brought."""

    begun: TrafficSplit
    """The newest split that anybody came with; a lower revision is turned away."""
    ready: TrafficSplit
    """The newest split of which every version is there whole: what a configuration may show."""
    done: int
    """The newest revision that was brought to its end: shown, and nothing else left."""


class Fences:
    """The fences of one repository."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, model: str) -> Fence:
        """Return how far a model was brought; revision 0 where nobody ever published it.

        Raises:
            FaultError: the fence is damaged.
            OSError: the disk failed.
        """
        path = self._path(model)
        try:
            return record.read(Fence, path)
        except FileNotFoundError:
            nothing = TrafficSplit(model, rev=0)
            return Fence(nothing, nothing, done=0)
        except ValueError as error:
            raise FaultError(
                f"{path} is not what a publisher wrote ({error}); delete it, and publish the newest revision again"
            ) from error

    def all(self) -> Mapping[str, Fence]:
        """Return every model's fence, by name.

        Raises:
            FaultError: one of them is damaged.
            OSError: the disk failed.
        """
        names = [path.name[1 : -len(_SUFFIX)] for path in sorted(self._root.glob(f".*{_SUFFIX}"))]
        return {name: self.read(name) for name in names}

    def begin(self, split: TrafficSplit) -> Fence:
        """Close the fence behind a split, and return how far its model is.

        Raises:
            StaleRevisionError: somebody came with a newer revision, or with this one and another split.
            FaultError: the fence is damaged.
            OSError: the disk failed.
        """
        there = self.read(split.model)
        if split.rev < there.begun.rev or (split.rev == there.begun.rev and split != there.begun):
            raise StaleRevisionError(
                f"{split.model} is published in {self._root} at revision {there.begun.rev}; revision {split.rev} "
                "came too late, or with another split"
            )
        return self.advance(there, begun=split)

    def advance(self, fence: Fence, **to: Any) -> Fence:
        """Keep how far a model was brought, if that is further, and return it.

        Raises:
            OSError: the disk failed.
        """
        further = replace(fence, **to)
        if further != fence:
            write_json(self._path(fence.begun.model), further)
        return further

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other publishers out of the repository.

        Raises:
            InfrastructureError: one has been at work for too long.
            OSError: the disk failed.
        """
        lock = FileLock(self._root / ".towpath.lock", timeout=_LOCK_WAIT_S)
        try:
            lock.acquire()
        except Timeout:
            raise InfrastructureError(
                f"another process has been publishing to {self._root} for more than {_LOCK_WAIT_S:g} s; try again"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def _path(self, model: str) -> Path:
        return self._root / f".{model}{_SUFFIX}"
