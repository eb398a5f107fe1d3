"""The router snapshot, which every gateway on this machine follows: this is its only writer. Knows no ledger.

Each model in it is fenced by its own revision: whoever was slow and comes with a lower one is turned away. The file is
replaced whole, under a lock, so that a reader sees one state or the other, and two writers never lose each other's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from components.errors import (
    BadInputError,
    ConflictError,
    DigestMismatchError,
    FaultError,
    InfrastructureError,
    StaleRevisionError,
)
from components.release import kill_switch
from components.stage.files import write_json
from components.types import record
from components.types.release import JudgeSettings, ModelRoute, PlacedModel, Role, RouterSnapshot, TrafficSplit

_LOCK_WAIT_S = 10.0
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


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
        _check_name(model)

        def loaded(route: ModelRoute) -> ModelRoute:
            number = str(placed.ref.version)
            there = route.loaded.get(number)
            if there is not None and there.ref.digest != placed.ref.digest:
                raise DigestMismatchError(
                    f"version {number} of {model} is loaded with digest {there.ref.digest[:12]}, and "
                    f"{placed.ref.digest[:12]} was promised; a version never changes its bytes: register them anew"
                )
            prepared = {**route.prepared, role.value: placed.ref.version}
            return _pruned(replace(route, loaded={**route.loaded, number: placed}, prepared=prepared))

        return self._change(model, loaded, judge)

    def unload(self, model: str, role: Role) -> ModelRoute:
        """Let go of what was loaded for a role, unless another role needs it; done before, it changes nothing.

        Raises:
            ConflictError: the split has a version in this role.
            FaultError: the file is damaged.
            InfrastructureError: the disk failed, or another writer holds the lock.
        """

        def unloaded(route: ModelRoute) -> ModelRoute:
            if (version := route.split.version(role)) is not None:
                raise ConflictError(
                    f"version {version} of {model} is the {role.value} at revision {route.split.rev}; "
                    "route the traffic elsewhere first"
                )
            prepared = {name: number for name, number in route.prepared.items() if name != role.value}
            return _pruned(replace(route, prepared=prepared))

        return self._change(model, unloaded)

    def route(self, split: TrafficSplit, judge: JudgeSettings) -> ModelRoute:
        """Move a model's traffic in one write; the same revision with the same split again changes nothing.

        Raises:
            StaleRevisionError: the file has a newer revision, or this one with another split; nothing was changed.
            ConflictError: a version of the split was not loaded first.
            BadInputError: the split cannot be one.
            FaultError: the file is damaged.
            InfrastructureError: the disk failed, or another writer holds the lock.
        """
        _check_split(split)

        def routed(route: ModelRoute) -> ModelRoute:
            if _is_there(split, route.split):
                return route
            absent = sorted(version for version in split.versions if str(version) not in route.loaded)
            if absent:
                raise ConflictError(f"version {absent[0]} of {split.model} was not loaded; deploy it before routing")
            return _pruned(replace(route, split=split, judge=judge))

        return self._change(split.model, routed)

    def renew(self, routes: Mapping[str, ModelRoute]) -> RouterSnapshot:
        """Write whole models at once: before a gateway runs, or because the file is damaged.

        A model that the file has and `routes` has not stays; one that is further in the file than in `routes`, too.
        A damaged file is kept beside the new one, with ``.damaged`` after its name.

        Raises:
            StaleRevisionError: the file has a model's revision with another split.
            ConflictError: a version of a split is not among those to be loaded.
            BadInputError: a name or a split cannot be one.
            InfrastructureError: the disk failed, or another writer holds the lock.
        """
        for name, route in routes.items():
            _check_whole(name, route)
        with self._locked():
            snapshot = self._read_or_set_aside()
            models = dict(snapshot.models)
            for name, route in routes.items():
                there = models.get(name) or ModelRoute(TrafficSplit(name, rev=0))
                if there.split.rev > route.split.rev:
                    continue
                _is_there(route.split, there.split)
                loaded = {**there.loaded, **route.loaded}
                models[name] = _pruned(replace(route, loaded=loaded, prepared=there.prepared))
            return self._write(snapshot, models)

    def kill(self, model: str, rev: int) -> None:
        """Set a model's canary to 0 on this machine, for every revision up to `rev`; needs no ledger and no gateway.

        Raises:
            BadInputError: the model's name cannot be one.
            InfrastructureError: the disk failed, or another writer holds the lock.
        """
        _check_name(model)
        with self._locked():
            self._on_disk(lambda: kill_switch.kill(self.path.parent, model, rev))

    def killed(self, model: str) -> int | None:
        """Return up to which revision a model's canary gets nothing here; None where nobody ever killed it.

        Raises:
            InfrastructureError: the disk failed.
        """
        try:
            return kill_switch.killed(self.path.parent, model)
        except OSError as error:
            raise InfrastructureError(f"{self.path.parent} cannot be read: {error.strerror}") from error

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


def _is_there(split: TrafficSplit, there: TrafficSplit) -> bool:
    """Return whether a split is there already.

    Raises:
        StaleRevisionError: what is there is newer, or another split at the same revision.
    """
    if split.rev < there.rev:
        raise StaleRevisionError(f"{split.model} is routed at revision {there.rev}; revision {split.rev} came too late")
    if split.rev == there.rev and split != there:
        raise StaleRevisionError(
            f"{split.model} is routed at revision {there.rev} with another split than this one; read the ledger again"
        )
    return split == there


def _pruned(route: ModelRoute) -> ModelRoute:
    """Keep loaded what the split names and what is being prepared, nothing else."""
    needed = {str(version) for version in (*route.split.versions, *route.prepared.values())}
    return replace(route, loaded={number: placed for number, placed in route.loaded.items() if number in needed})


def _check_whole(name: str, route: ModelRoute) -> None:
    _check_split(route.split)
    if route.split.model != name:
        raise BadInputError(f"the route of `{name}` is of model `{route.split.model}`; expected the same name")
    for version in sorted(route.split.versions):
        if str(version) not in route.loaded:
            raise ConflictError(f"version {version} of {name} is in the split and not among those to be loaded")


def _check_split(split: TrafficSplit) -> None:
    _check_name(split.model)
    if split.rev < 1:
        raise BadInputError(f"the split of {split.model} has revision {split.rev}; the ledger's begin at 1")
    if not 0 <= split.weight <= 100:
        raise BadInputError(f"the canary of {split.model} would get {split.weight} %; expected 0 to 100")
    if split.weight and split.canary is None:
        raise BadInputError(f"{split.model} has a canary weight of {split.weight} % and no canary")
    if split.weight and split.stable is None:
        raise BadInputError(f"{split.model} has no stable version to answer those who do not get the canary")


def _check_name(model: str) -> None:
    if not _NAME.fullmatch(model):
        raise BadInputError(f"{model[:80]!r} is no model name; expected letters, digits, `_` and `-`")
