"""A gateway in this process that follows a router snapshot, without a socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from components.serving.board import Board, KillSwitch
from components.serving.gateway import Gateway
from components.serving.options import Limits
from components.serving.snapshot_watch import SnapshotWatch
from components.stage.files import write_json
from components.types.release import ModelRoute, PlacedModel, RouterSnapshot, TrafficSplit


class Followed:
    """A gateway that follows a file, looked at from inside its event loop."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "router.json"
        self.board = Board(folder / "board", kill_switch=KillSwitch(self.path))
        self.gateway = Gateway(Limits(), board=self.board)
        self.sequence = 0

    def write(self, *routes: ModelRoute) -> None:
        self.sequence += 1
        write_json(self.path, RouterSnapshot(self.sequence, {route.split.model: route for route in routes}))

    def run(self, scenario: Callable[[], Awaitable[Any]]) -> Any:
        async def whole() -> Any:
            watch = SnapshotWatch(self.gateway, self.path, poll_s=0.01, retry_s=0.05)
            await watch.start()
            following = asyncio.create_task(watch.run())
            try:
                return await scenario()
            finally:
                following.cancel()

        return asyncio.run(whole())

    async def until(self, condition: Callable[[], object], seconds: float = 240.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, (self.gateway.problems, self.gateway.revs, self.gateway.loaded)
            await asyncio.sleep(0.01)


def route(rev: int, placed: Mapping[int, PlacedModel], *versions: int, **split: Any) -> ModelRoute:
    """The route of the model that the versions are of."""
    model = placed[versions[0]].ref.model
    return ModelRoute(TrafficSplit(model, rev, **split), {str(number): placed[number] for number in versions})
