"""Follow the router snapshot: have loaded what it names, and move each model's traffic. Knows nothing of HTTP.

Nothing here waits: versions are loaded in threads while the old ones answer, and each time a load ends, or the file
changes, every model is settled anew from what is in memory. A model moves to its new split as soon as all versions of
that split are warm, by one assignment; until then, and if one of them cannot be loaded, it keeps what it has. So a way
back to a version that is still warm waits for no load, neither of another model nor of another version.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from components.errors import ConfigError, TowpathError
from components.serving.asked import Asked, Attempt
from components.serving.gateway import Gateway
from components.serving.model_table import make_table
from components.serving.router_snapshot import read_snapshot, refused
from components.serving.served_model import ServedModel
from components.serving.traffic import Traffic
from components.serving.version_cache import VersionCache
from components.types.release import ModelRoute, RouterSnapshot, TrafficSplit

RETRY_S = 5.0
"""How long until a version that did not load is tried again."""

log = logging.getLogger("towpath.gateway")

_Stamp = tuple[int, int, int]


class SnapshotWatch:
    """Keep a gateway's table at what a snapshot file says."""

    def __init__(self, gateway: Gateway, path: Path, poll_s: float, retry_s: float = RETRY_S) -> None:
        self._gateway = gateway
        self._path = path
        self._poll_s = poll_s
        self._stamp: _Stamp | None = None
        self._routes: dict[str, ModelRoute] = {}
        """By model: the newest route that was accepted, whether or not it is served yet."""
        self._fence: dict[str, ModelRoute] = {}
        """The same, also of models that the snapshot does not name any more."""
        self._refusals: dict[str, str] = {}
        self._unjudged: dict[str, str] = {}
        self._retry_s = retry_s
        self._again_s = 0.0
        """When what has a problem is looked at again."""
        self._is_behind = False
        """Whether the file is to be taken up again, though it looks the same: something failed meanwhile."""
        self._said = ""
        self._cache = VersionCache(gateway.stats, self._load_ended, retry_s)
        self._woken = asyncio.Event()
        gateway.bulkheads.append(self._cache.bulkhead)

    def wake(self) -> None:
        """Look at the snapshot now, also if its file looks the same."""
        self._stamp = None
        self._woken.set()

    async def start(self) -> None:
        """Load the first snapshot, and return once all that it names was loaded or failed to.

        Raises:
            ConfigError: there is no snapshot, or it cannot be read.
        """
        self._stamp = _stamp_of(self._path)
        self._take(await asyncio.to_thread(read_snapshot, self._path))
        while self._cache.is_loading:
            self._woken.clear()
            await self._woken.wait()

    async def run(self) -> None:
        """Follow the file until cancelled."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), self._poll_s)
            self._woken.clear()
            try:
                await self._look()
            except Exception as error:
                self._failed(error)

    async def _look(self) -> None:
        for bulkhead in (self._cache.bulkhead, *(b for t in self._gateway.table.traffic.values() for b in t.bulkheads)):
            bulkhead.stop_late()
        if self._cache.has_let_go:
            await asyncio.to_thread(self._cache.give_memory_back)
        stamp = _stamp_of(self._path)
        if stamp is None and self._stamp is not None:
            self._stamp = None
            raise ConfigError(f"the snapshot {self._path} is gone; what was served is served on")
        is_due = asyncio.get_running_loop().time() >= self._again_s
        if stamp is not None and (stamp != self._stamp or (self._is_behind and is_due)):
            self._stamp, self._is_behind = stamp, False  # before it is read: whoever fails or wakes meanwhile is heard
            self._take(await asyncio.to_thread(read_snapshot, self._path))
            self._said = ""
        elif self._gateway.problems and is_due:
            self._settle()

    def _failed(self, error: Exception) -> None:
        """Say so, once, and have the file taken up again: the fault may be the machine's, and over in a moment."""
        self._is_behind = True
        self._again_s = asyncio.get_running_loop().time() + min(1.0, self._retry_s)
        words = str(error) if isinstance(error, TowpathError) else f"the snapshot could not be followed: {error!r}"
        self._gateway.problems = {**dict.fromkeys(self._routes, words), **self._gateway.problems}
        if repr(error) == self._said:
            return
        self._said = repr(error)
        self._gateway.refused += 1
        if isinstance(error, TowpathError):
            log.error("%s", error)
        else:
            log.error("the snapshot could not be followed; what was served is served on", exc_info=error)

    def _take(self, snapshot: RouterSnapshot) -> None:
        """Accept what of a snapshot may be accepted, and serve it."""
        self._refusals.clear()
        accepted: dict[str, ModelRoute] = {}
        for name, route in snapshot.models.items():
            before = self._fence.get(name)
            if before is not None and (why := refused(route, before)) is not None:
                self._gateway.refused += 1
                self._refusals[name] = why
                log.error("%s: %s", name, why)
                if name in self._routes:
                    accepted[name] = self._routes[name]
            else:
                accepted[name] = self._fence[name] = route
        self._routes = accepted
        self._gateway.seen_sequence = max(self._gateway.seen_sequence, snapshot.sequence)
        self._settle()

    def _load_ended(self) -> None:
        self._woken.set()
        try:
            self._settle()
        except Exception as error:
            self._failed(error)

    def _settle(self) -> None:
        """Bring every model as far as what is in memory allows, and load what is missing."""
        gateway, before = self._gateway, self._gateway.table
        traffic: dict[str, Traffic] = {}
        unavailable: dict[str, str] = {}
        problems = {**self._refusals}
        self._unjudged.clear()
        for name, route in self._routes.items():
            for placed in route.loaded.values():
                self._cache.want(placed)
            settled = self._settled(route, before.traffic.get(name))
            if settled is not None:
                traffic[name] = settled
            if why := "; ".join([*self._refused_loads(route), *filter(None, [self._unjudged.get(name)])]):
                problems[name] = f"{problems[name]}; {why}" if name in problems else why
                if settled is None or (settled.stable is None and route.split.stable is not None):
                    unavailable[name] = f"model {name} cannot be served: {why}"
        gateway.problems = problems
        self._again_s = asyncio.get_running_loop().time() + min(1.0, self._retry_s)
        named = {placed.ref for route in self._routes.values() for placed in route.loaded.values()}
        self._cache.keep(named | {model.ref for each in traffic.values() for model in each.versions.values()})
        is_complete = not problems and all(
            name in traffic and traffic[name].is_whole and traffic[name].split == route.split
            for name, route in self._routes.items()
        )
        sequence = gateway.seen_sequence if is_complete else before.sequence
        if traffic != before.traffic or unavailable != before.unavailable:
            gateway.table = make_table(sequence, traffic, unavailable)
            gateway.swaps += 1
            self._let_go(before.traffic, traffic)
        elif sequence != before.sequence:
            gateway.table = replace(before, sequence=sequence)

    def _settled(self, route: ModelRoute, before: Traffic | None) -> Traffic | None:
        """Return the traffic that a model can have now: the route's, or else what it has."""
        found = {placed.ref.version: self._cache.get(placed) for placed in route.loaded.values()}
        warm = {number: model for number, model in found.items() if model is not None}
        if before is not None and before.is_whole and before.split == route.split:
            return _beside(before, warm)
        if route.split.versions <= warm.keys():
            return self._made(route, warm)
        if before is not None and before.is_whole:
            return _beside(before, warm)
        # nothing was served before: its stable version alone is better than nothing
        stable = route.split.stable if route.split.stable in warm else None
        split = TrafficSplit(route.split.model, route.split.rev, stable)
        if before is not None and before.split == split:
            return _beside(before, warm)
        return Traffic(split, warm, is_whole=False) if warm else None

    def _made(self, route: ModelRoute, warm: Mapping[int, ServedModel]) -> Traffic:
        """Return a route's traffic at its revision, and its judge."""
        gateway, split = self._gateway, route.split
        judge, is_whole = None, True
        if gateway.board is not None and split.stable is not None:
            from components.serving.judging import LiveJudge

            try:
                judge = LiveJudge(gateway.board, split, route.judge)
            except Exception as error:
                # without a judge there is no canary and no shadow; the way back to stable is open all the same
                is_whole = split.canary is None and split.shadow is None
                self._unjudged[split.model] = f"the judge cannot start: {error}"
                log.error("%s at revision %d: the judge cannot start: %s", split.model, split.rev, error)
        tell = partial(_log_shadow, gateway, split.rev) if gateway.predictions is not None else None
        log.info("%s is at revision %d: %s", split.model, split.rev, _in_words(split))
        return Traffic(split, warm, judge, route.judge, tell, is_whole=is_whole)

    def _let_go(self, before: Mapping[str, Traffic], now: Mapping[str, Traffic]) -> None:
        """End what belonged to traffic that is no more; requests that took it keep it until they are answered."""
        judges = self._gateway.judges
        ended = [judge for name, judge in judges.items() if name not in now or now[name].judge is not judge]
        self._gateway.judges = {name: each.judge for name, each in now.items() if each.judge is not None}
        for judge in ended:
            judge.close()
        for name, old in before.items():
            if old.mirror is not None and (name not in now or now[name].mirror is not old.mirror):
                old.mirror.end()

    def _refused_loads(self, route: ModelRoute) -> list[str]:
        """Return why not all of a route is loaded; nothing where all is, or is on its way."""
        found = []
        for placed in route.loaded.values():
            if self._cache.get(placed) is None and (why := self._cache.why_not(placed)) is not None:
                found.append(f"version {placed.ref.version} was not loaded: {why}")
        return found


def _beside(traffic: Traffic, warm: Mapping[int, ServedModel]) -> Traffic:
    """Return traffic with whatever else is loaded beside its own versions; itself when that is nothing new."""
    versions = {**warm, **traffic.named}
    return traffic if versions == traffic.versions else traffic.with_versions(versions)


def _log_shadow(gateway: Gateway, rev: int, asked: Asked, attempt: Attempt) -> None:
    gateway.log_attempt(asked, attempt, rev)


def _in_words(split: TrafficSplit) -> str:
    named = [("stable", split.stable), ("canary", split.canary), ("shadow", split.shadow), ("previous", split.previous)]
    words = [f"{role} {version}" for role, version in named if version is not None]
    return ", ".join(words) + (f", {split.weight} % to the canary" if split.canary is not None else "")


def _stamp_of(path: Path) -> _Stamp | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - five times a second, without building a Path result
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
