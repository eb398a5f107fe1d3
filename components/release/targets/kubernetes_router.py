"""The router snapshot in a ConfigMap, which pods have as a file: the verbs of `RouterFile`. Knows no pod and no ledger.

Two fences: a write names the resource version that it read, so that of two writers one has to read again; and what it
then finds is fenced by the model's own revision, as everywhere (`routes`). The kill switch is a ConfigMap of its own,
so that pulling it waits for nobody who writes the snapshot and needs no snapshot that can be read.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable, Mapping

from components.errors import ConflictError, FaultError
from components.release import routes
from components.release.targets.kubernetes_api import KubernetesApi, StoredMap
from components.types import record
from components.types.kill_switch import Killed, parse_killed
from components.types.release import JudgeSettings, ModelRoute, PlacedModel, Role, RouterSnapshot, TrafficSplit

ROUTER_MAP = "towpath-router"
KILL_MAP = "towpath-kill"
SNAPSHOT_KEY = "router.json"
_DAMAGED_KEY = f"{SNAPSHOT_KEY}.damaged"
_TRIES = 20
_PAUSE_S = 0.05

Change = Callable[[Mapping[str, str]], Mapping[str, str]]


class RouterConfigMap:
    """Change what the pods of an environment serve; may be used by many processes at once."""

    def __init__(self, api: KubernetesApi, tell: Callable[[str, str], None]) -> None:
        """Take the namespace, and who is told which ConfigMap is at which resource version; nothing is asked yet."""
        self._api = api
        self._tell = tell

    def read(self) -> RouterSnapshot:
        """Return the snapshot; an empty one where none was ever written.

        Raises:
            FaultError: it is damaged; the message says how it is written anew.
            InfrastructureError: the cluster does not answer, or forbids it.
        """
        found = self._api.config_map(ROUTER_MAP)
        return RouterSnapshot(0, {}) if found is None else self._parsed(found.data)

    def route_of(self, model: str) -> ModelRoute:
        """Return what the snapshot says of a model: revision 0 and nothing loaded where it says nothing.

        Raises:
            FaultError: the snapshot is damaged.
            InfrastructureError: the cluster does not answer, or forbids it.
        """
        return self.read().models.get(model) or ModelRoute(TrafficSplit(model, rev=0))

    def load(self, model: str, placed: PlacedModel, role: Role, judge: JudgeSettings | None = None) -> ModelRoute:
        """Have a version loaded for a role, without traffic; the same again changes nothing.

        Raises:
            BadInputError: the model's name cannot be one.
            DigestMismatchError: this version is loaded already, with other bytes.
            ConflictError: others wrote all the time.
            FaultError: the snapshot is damaged, or too large for a ConfigMap.
            InfrastructureError: the cluster does not answer, or forbids it.
        """
        routes.check_name(model)
        return self._change(model, lambda route: routes.with_loaded(route, placed, role), judge)

    def unload(self, model: str, role: Role) -> ModelRoute:
        """Let go of what was loaded for a role, unless another role needs it; done before, it changes nothing.

        Raises:
            ConflictError: the split has a version in this role, or others wrote all the time.
            FaultError: the snapshot is damaged.
            InfrastructureError: the cluster does not answer, or forbids it.
        """
        return self._change(model, lambda route: routes.without_role(route, role))

    def route(self, split: TrafficSplit, judge: JudgeSettings) -> ModelRoute:
        """Move a model's traffic in one write; the same revision with the same split again changes nothing.

        Raises:
            StaleRevisionError: the snapshot has a newer revision, or this one with another split; nothing was changed.
            ConflictError: a version of the split was not loaded first, or others wrote all the time.
            BadInputError: the split cannot be one.
            FaultError: the snapshot is damaged.
            InfrastructureError: the cluster does not answer, or forbids it.
        """
        routes.check_split(split)
        return self._change(split.model, lambda route: routes.with_split(route, split, judge))

    def renew(self, wanted: Mapping[str, ModelRoute]) -> RouterSnapshot:
        """Write whole models at once: before pods run, or because the snapshot is damaged.

        A model that the snapshot has and `wanted` has not stays; one that is further there than in `wanted`, too. A
        damaged snapshot is kept beside the new one, with ``.damaged`` after its key.

        Raises:
            StaleRevisionError: the snapshot has a model's revision with another split.
            ConflictError: a version of a split is not among those to be loaded, or others wrote all the time.
            BadInputError: a name or a split cannot be one.
            InfrastructureError: the cluster does not answer, or forbids it.
        """
        for name, route in wanted.items():
            routes.check_whole(name, route)

        def renewed(data: Mapping[str, str]) -> Mapping[str, str]:
            kept = dict(data)
            try:
                snapshot = self._parsed(data)
            except FaultError:
                kept[_DAMAGED_KEY] = data[SNAPSHOT_KEY]
                snapshot = RouterSnapshot(0, {})
            models = routes.all_renewed(snapshot.models, wanted)
            return _with(kept, snapshot, models)

        return self._parsed(self._write(ROUTER_MAP, renewed))

    def kill(self, model: str, rev: int, versions: Iterable[int] = ()) -> None:
        """Set a model's canary to 0 in all pods; needs no ledger, and no whole snapshot.

        Args:
            model: The model.
            rev: Up to this revision, whichever version is the canary.
            versions: These at every revision.

        Raises:
            BadInputError: the model's name cannot be one.
            ConflictError: others wrote all the time.
            InfrastructureError: the cluster does not answer, or forbids it.
        """
        routes.check_name(model)
        more = Killed(rev, frozenset(versions))

        def killed(data: Mapping[str, str]) -> Mapping[str, str]:
            wanted = parse_killed(data[model]).joined(more) if model in data else more
            return {**data, model: wanted.text}

        self._write(KILL_MAP, killed)

    def killed(self, model: str) -> Killed | None:
        """Return for what a model's canary gets nothing; None where nobody ever killed it.

        Raises:
            InfrastructureError: the cluster does not answer, or forbids it.
        """
        found = self._api.config_map(KILL_MAP)
        return None if found is None or model not in found.data else parse_killed(found.data[model])

    def switch(self, model: str) -> str:
        """Return where a model's kill switch lies, for people."""
        return f"key {model} of ConfigMap {KILL_MAP} in namespace {self._api.namespace}"

    def _change(
        self, model: str, change: Callable[[ModelRoute], ModelRoute], judge: JudgeSettings | None = None
    ) -> ModelRoute:
        changed: list[ModelRoute] = []

        def apply(data: Mapping[str, str]) -> Mapping[str, str]:
            snapshot = self._parsed(data)
            route = snapshot.models.get(model) or ModelRoute(TrafficSplit(model, rev=0), judge=judge or JudgeSettings())
            changed[:] = [change(route)]
            return data if changed[0] == route else _with(data, snapshot, {**snapshot.models, model: changed[0]})

        self._write(ROUTER_MAP, apply)
        return changed[0]

    def _write(self, name: str, change: Change) -> Mapping[str, str]:
        """Change a ConfigMap as it is at the moment of the change, and have its pods told; return what it holds."""
        for _ in range(_TRIES):
            found = self._api.config_map(name)
            data = {} if found is None else found.data
            wanted = change(data)
            try:
                written = self._stored(name, wanted, found)
            except ConflictError:
                time.sleep(random.uniform(0, _PAUSE_S))  # noqa: S311 - so that two do not meet again
                continue
            if written is not None:
                self._tell(name, written.resource_version)
            return wanted
        raise ConflictError(
            f"ConfigMap {name} in namespace {self._api.namespace} was written by others {_TRIES} times in a row; "
            "nothing was changed, try again"
        )

    def _stored(self, name: str, wanted: Mapping[str, str], found: StoredMap | None) -> StoredMap | None:
        if wanted == (found.data if found is not None else {}):
            return found  # its pods are told all the same: whoever wrote it may not have come so far
        return self._api.write_config_map(name, wanted, found)

    def _parsed(self, data: Mapping[str, str]) -> RouterSnapshot:
        if SNAPSHOT_KEY not in data:
            return RouterSnapshot(0, {})
        try:
            return record.load(RouterSnapshot, json.loads(data[SNAPSHOT_KEY]))
        except ValueError as error:
            raise FaultError(
                f"key {SNAPSHOT_KEY} of ConfigMap {ROUTER_MAP} in namespace {self._api.namespace} is no router "
                f"snapshot ({error}); pods go on with what they serve: restart the worker, which writes it anew"
            ) from error


def _with(data: Mapping[str, str], before: RouterSnapshot, models: Mapping[str, ModelRoute]) -> Mapping[str, str]:
    if models == before.models and SNAPSHOT_KEY in data and before.sequence:
        return data
    text = record.canonical_json(RouterSnapshot(before.sequence + 1, models))
    return {**data, SNAPSHOT_KEY: text}
