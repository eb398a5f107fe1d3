"""Follow the router snapshot: load what it names, and swap. Knows nothing of HTTP.

A new version is loaded and warmed in a thread while the old one answers; then the gateway's table is replaced by one
assignment. A model that does not load keeps the version it has, and is tried again.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from components.errors import ConfigError, StaleRevisionError, TowpathError
from components.serving.gateway import Gateway
from components.serving.measurements import Measurements
from components.serving.model_table import make_table
from components.serving.served_model import ServedModel, load_served
from components.types import record
from components.types.release import PlacedModel, RouterSnapshot

RETRY_S = 5.0
"""How long until a model that did not load is tried again."""

log = logging.getLogger("towpath.gateway")

_Stamp = tuple[int, int, int]


class SnapshotWatch:
    """Keep a gateway's table at what a snapshot file says."""

    def __init__(self, gateway: Gateway, path: Path, poll_s: float, retry_s: float = RETRY_S) -> None:
        self._gateway = gateway
        self._path = path
        self._poll_s = poll_s
        self._retry_s = retry_s
        self._stamp: _Stamp | None = None
        self._current: RouterSnapshot | None = None
        self._retry_at: float | None = None
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look at the snapshot now, also if its file looks the same."""
        self._stamp = None
        self._woken.set()

    async def start(self) -> None:
        """Load the first snapshot.

        Raises:
            ConfigError: there is no snapshot, or it cannot be read.
        """
        self._stamp = _stamp_of(self._path)
        await self._take(await asyncio.to_thread(read_snapshot, self._path))

    async def run(self) -> None:
        """Follow the file until cancelled."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), self._poll_s)
            self._woken.clear()
            try:
                await self._look()
            except TowpathError as error:
                self._gateway.refused += 1
                log.error("%s", error)
            except Exception:
                self._gateway.refused += 1
                log.exception("the snapshot could not be followed; what was served is served on")

    async def _look(self) -> None:
        stamp = _stamp_of(self._path)
        if stamp is None and self._stamp is not None:
            self._stamp = None
            raise ConfigError(f"the snapshot {self._path} is gone; what was served is served on")
        if stamp is not None and stamp != self._stamp:
            self._stamp = stamp
            await self._take(await asyncio.to_thread(read_snapshot, self._path))
        elif self._retry_at is not None and asyncio.get_running_loop().time() >= self._retry_at and self._current:
            await self._serve(self._current)

    async def _take(self, snapshot: RouterSnapshot) -> None:
        current = self._current
        if current is not None and snapshot.rev < current.rev:
            raise StaleRevisionError(
                f"the snapshot {self._path} has revision {snapshot.rev}, older than {current.rev}, which is served; "
                "it was refused"
            )
        if current is not None and snapshot.rev == current.rev and snapshot != current:
            raise StaleRevisionError(
                f"the snapshot {self._path} changed without a new revision ({snapshot.rev}); it was refused"
            )
        self._current = snapshot
        self._gateway.seen_rev = snapshot.rev
        await self._serve(snapshot)

    async def _serve(self, snapshot: RouterSnapshot) -> None:
        """Load what is new in `snapshot` and serve it."""
        gateway = self._gateway
        models: dict[str, ServedModel] = {}
        unavailable: dict[str, str] = {}
        complete = True
        for name, placed in snapshot.models.items():
            served = gateway.table.models.get(name)
            if served is None or served.placed != placed:
                try:
                    served = await asyncio.to_thread(load_served, placed, _stats_of(gateway.stats, name))
                    log.info("%s version %d is loaded", name, placed.ref.version)
                except TowpathError as error:
                    complete = False
                    gateway.stats[name].load_failures += 1
                    kept = f"version {served.version} is served on" if served else "it is not served"
                    log.error("%s version %d was not loaded, %s: %s", name, placed.ref.version, kept, error)
                    if served is None:
                        unavailable[name] = f"model {name} cannot be served: {error}"
            if served is not None:
                models[name] = served
        rev = snapshot.rev if complete else gateway.table.rev
        gateway.table = make_table(rev, models, unavailable)
        gateway.swaps += 1
        self._retry_at = None if complete else asyncio.get_running_loop().time() + self._retry_s


def read_snapshot(path: Path) -> RouterSnapshot:
    """Return the snapshot in a file.

    Raises:
        ConfigError: there is none, or it is not a snapshot.
    """
    try:
        snapshot = record.read(RouterSnapshot, path)
    except FileNotFoundError:
        raise ConfigError(f"there is no router snapshot {path}; register a model first (`towpath run MODEL`)") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is not a router snapshot: {error}") from None
    return replace(snapshot, models=_checked_names(snapshot.models, path))


def _checked_names(models: Mapping[str, PlacedModel], path: Path) -> Mapping[str, PlacedModel]:
    for name, placed in models.items():
        if not name.isidentifier() and not name.replace("-", "_").isidentifier():
            raise ConfigError(f"{path}: `{name}` is no model name; expected letters, digits, `_` and `-`")
        if placed.ref.model != name:
            raise ConfigError(f"{path}: `{name}` stands for model `{placed.ref.model}`; expected the same name")
    return models


def _stats_of(stats: dict[str, Measurements], name: str) -> Measurements:
    return stats.setdefault(name, Measurements())


def _stamp_of(path: Path) -> _Stamp | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - five times a second, without building a Path result
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
