"""The router snapshot, which every gateway on this machine follows: this is its only writer. Knows no ledger.

Each model in it is fenced by its own revision: whoever was slow and comes with a lower one is turned away. The file is
replaced whole, under a lock, so that a reader sees one state or the other, and two writers never lose each other's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from components.errors import FaultError, InfrastructureError
from components.release import kill_switch, routes
from components.stage.files import write_json
from components.types import record
from components.types.kill_switch import FOLDER, Killed
from components.types.release import JudgeSettings, ModelRoute, PlacedModel, Role, RouterSnapshot, TrafficSplit

_LOCK_WAIT_S = 10.0


class RouterFile:
    """Change what a gateway serves; may be used by many processes at once."""

    def __init__(self, path: Path) -> None:
        """Remember where the snapshot stands; it is made by the first write."""
        self.path = path

    def read(self) -> RouterSnapshot:
        """Return the snapshot; an empty one where none was ever written.

        Raises:
            FaultError: the file is damaged; the message says how it is written anew.
            InfrastructureError: the disk failed.
        """
        try:
            return record.read(RouterSnapshot, self.path)
        except FileNotFoundError:
            return RouterSnapshot(0, {})
        except OSError as error:
            raise InfrastructureError(f"the router snapshot {self.path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise FaultError(
                f"{self.path} is not a router snapshot ({error}); gateways go on with what they serve: write it anew "
                "from the ledger with `towpath serve`"
            ) from error

    def route_of(self, model: str) -> ModelRoute:
        """Return what the snapshot says of a model: revision 0 and nothing loaded where it says nothing.

        Raises:
            FaultError: the file is damaged.
            InfrastructureError: the disk failed.
        """
        return self.read().models.get(model) or ModelRoute(TrafficSplit(model, rev=0))

    def load(self, model: str, placed: PlacedModel, role: Role, judge: JudgeSettings | None = None) -> ModelRoute:
        """Have a version loaded for a role, without traffic; the same again changes nothing.

        Args:
            model: The model.
            placed: The version, its bytes checked by the caller.
            role: What it is loaded for; whatever was loaded for this role before and is not in the split is let go of.
            judge: What the judge is told if the model is new here.

        Raises:
            BadInputError: the model's name cannot be one.
            DigestMismatchError: this version is loaded already, with other bytes.
            FaultError: the file is damaged.
            InfrastructureError: the disk failed, or another writer holds the lock.
        """
        routes.check_name(model)
        return self._change(model, lambda route: routes.with_loaded(route, placed, role), judge)

    def unload(self, model: str, role: Role) -> ModelRoute:
        """Let go of what was loaded for a role, unless another role needs it; done before, it changes nothing.

        Raises:
            ConflictError: the split has a version in this role.
            FaultError: the file is damaged.
            InfrastructureError: the disk failed, or another writer holds the lock.
        """
        return self._change(model, lambda route: routes.without_role(route, role))

    def route(self, split: TrafficSplit, judge: JudgeSettings) -> ModelRoute:
        """Move a model's traffic in one write; the same revision with the same split again changes nothing.

        Raises:
            StaleRevisionError: the file has a newer revision, or this one with another split; nothing was changed.
            ConflictError: a version of the split was not loaded first.
            BadInputError: the split cannot be one.
            FaultError: the file is damaged.
            InfrastructureError: the disk failed, or another writer holds the lock.
        """
        routes.check_split(split)
        return self._change(split.model, lambda route: routes.with_split(route, split, judge))

    def renew(self, wanted: Mapping[str, ModelRoute]) -> RouterSnapshot:
        """Write whole models at once: before a gateway runs, or because the file is damaged.

        A model that the file has and `wanted` has not stays; one that is further in the file than in `wanted`, too.
        A damaged file is kept beside the new one, with ``.damaged`` after its name.

        Raises:
            StaleRevisionError: the file has a model's revision with another split.
            ConflictError: a version of a split is not among those to be loaded.
            BadInputError: a name or a split cannot be one.
            InfrastructureError: the disk failed, or another writer holds the lock.
        """
        for name, route in wanted.items():
            routes.check_whole(name, route)
        with self._locked():
            snapshot = self._read_or_set_aside()
            models = routes.all_renewed(snapshot.models, wanted)
            return self._write(snapshot, models)

    def kill(self, model: str, rev: int, versions: Iterable[int] = ()) -> None:
        """Set a model's canary to 0 on this machine; needs no ledger, no gateway, and no whole snapshot.

        Args:
            model: The model.
            rev: Up to this revision, whichever version is the canary.
            versions: These at every revision.

        Raises:
            BadInputError: the model's name cannot be one.
            InfrastructureError: the disk failed, or another writer holds the lock.
        """
        routes.check_name(model)
        with self._locked():
            self._on_disk(lambda: kill_switch.kill(self.path.parent, model, Killed(rev, frozenset(versions))))

    def killed(self, model: str) -> Killed | None:
        """Return for what a model's canary gets nothing here; None where nobody ever killed it.

        Raises:
            InfrastructureError: the disk failed.
        """
        try:
            return kill_switch.killed(self.path.parent, model)
        except OSError as error:
            raise InfrastructureError(f"{self.path.parent} cannot be read: {error.strerror}") from error

    def switch(self, model: str) -> str:
        """Return where a model's kill switch lies, for people."""
        return str(self.path.parent / FOLDER / model)

    def _change(
        self, model: str, change: Callable[[ModelRoute], ModelRoute], judge: JudgeSettings | None = None
    ) -> ModelRoute:
        with self._locked():
            snapshot = self.read()
            there = snapshot.models.get(model)
            route = there or ModelRoute(TrafficSplit(model, rev=0), judge=judge or JudgeSettings())
            changed = change(route)
            if changed != route:
                self._write(snapshot, {**snapshot.models, model: changed})
            return changed

    def _write(self, before: RouterSnapshot, models: Mapping[str, ModelRoute]) -> RouterSnapshot:
        if models == before.models and self.path.exists():
            return before
        snapshot = RouterSnapshot(before.sequence + 1, models)
        self._on_disk(lambda: write_json(self.path, snapshot))
        return snapshot

    def _read_or_set_aside(self) -> RouterSnapshot:
        try:
            return self.read()
        except FaultError as error:
            if isinstance(error, InfrastructureError):
                raise
        self._on_disk(lambda: self.path.replace(self.path.with_name(f"{self.path.name}.damaged")))
        return RouterSnapshot(0, {})

    def _on_disk(self, write: Callable[[], object]) -> None:
        try:
            write()
        except OSError as error:
            raise InfrastructureError(f"{self.path.parent} cannot be written: {error.strerror}") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._on_disk(lambda: self.path.parent.mkdir(parents=True, exist_ok=True))
        lock = FileLock(self.path.with_name(f".{self.path.name}.lock"), timeout=_LOCK_WAIT_S)
        try:
            lock.acquire()
        except Timeout:
            raise InfrastructureError(
                f"another process has been writing {self.path} for more than {_LOCK_WAIT_S:g} s; try again"
            ) from None
        except OSError as error:
            raise InfrastructureError(f"{self.path.parent} cannot be written: {error.strerror}") from error
        try:
            yield
        finally:
            lock.release()
