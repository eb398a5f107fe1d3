"""What all targets share whose servers follow a router snapshot. Knows not where it lies, nor where the servers run.

What is to be served is written into the snapshot, and the servers follow. New versions get into a split only once every
server has loaded them. Moving traffic asks no server: a split that takes traffic away from a version must be written
also while the servers are down, or they would start again with it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from components.errors import BadInputError, DigestMismatchError, FaultError, InfrastructureError
from components.release.protocol import Answer
from components.release.targets.loading_time import left_s
from components.types.judging import Health, JudgeReport, WorkerStatus
from components.types.release import JudgeSettings, ModelRef, ModelRoute, PlacedModel, Role, TrafficSplit

SILENT_S = 10.0
"""A worker that said nothing for so long is gone: its successor loads the snapshot before it listens."""


class Router(Protocol):
    """A router snapshot; every method may raise `FaultError`, of which an `InfrastructureError` may be tried again."""

    def route_of(self, model: str) -> ModelRoute:
        """Return what the snapshot says of a model."""

    def load(self, model: str, placed: PlacedModel, role: Role, judge: JudgeSettings | None = None) -> ModelRoute:
        """Have a version loaded for a role, without traffic."""

    def unload(self, model: str, role: Role) -> ModelRoute:
        """Let go of what was loaded for a role."""

    def route(self, split: TrafficSplit, judge: JudgeSettings) -> ModelRoute:
        """Move a model's traffic in one write."""


@dataclass(frozen=True)
class Server:
    """One process that answers requests."""

    name: str
    """For people, and the same as long as the process lives."""
    status: WorkerStatus


class Servers(Protocol):
    """Whatever follows the snapshot; every method raises `InfrastructureError` where it cannot be asked."""

    def living(self) -> Sequence[Server]:
        """Return every process that answers requests, or will; never nothing."""

    def report(self, model: str) -> JudgeReport | None:
        """Return what the judges beside the traffic know together."""

    def health(self, model: str, role: Role, window_s: float) -> Health | None:
        """Return what happened to a role's requests, over all servers."""

    def ask(self, model: str, version: int, requests: Sequence[bytes]) -> Sequence[Answer]:
        """Return what they answer when asked for a loaded version; see `DeploymentTarget.ask`."""

    def remind(self) -> None:
        """Have servers that are behind look at the snapshot; nothing where they always do."""


class FollowingTarget:
    """One model in servers that follow a router snapshot."""

    def __init__(
        self,
        model: str,
        router: Router,
        servers: Servers,
        place: Callable[[ModelRef], PlacedModel],
        judge: JudgeSettings,
        ready_s: float,
        poll_s: float,
    ) -> None:
        """Take what is needed to reach the servers; opens nothing.

        Args:
            model: The model.
            router: The snapshot that the servers follow.
            servers: How they are asked.
            place: Puts a version's bytes where the servers find them, checks its digest, and says where they are.
            judge: What the judge beside the traffic is told with the next split.
            ready_s: How long the servers may take to load a version.
            poll_s: How often they are asked meanwhile.
        """
        self._model = model
        self._router = router
        self._servers = servers
        self._place = place
        self._judge = judge
        self._ready_s = ready_s
        self._poll_s = poll_s

    def deploy(self, role: Role, model: ModelRef) -> None:
        """Load a version for a role, its digest checked and warm, without traffic; return when ready; idempotent.

        Within `loading_time` it may be given up earlier than `ready_s`; the servers load on, and the next call sees.

        A version that the split names already was waited for when it came in: of that one only the bytes are checked
        again, so that going back to it needs no answer from a server that is in trouble.

        Raises:
            BadInputError: the version is of another model.
            DigestMismatchError: the bytes are not those that were promised; nothing was changed.
            InfrastructureError: the servers are down, or did not get ready in time.
            FaultError: the version does not load; it was let go of again. Or the snapshot is damaged.
        """
        if model.model != self._model:
            raise BadInputError(f"version {model.version} is of {model.model}; this is where {self._model} is served")
        placed = self._place(model)
        if placed.ref != model:
            raise DigestMismatchError(
                f"version {model.version} of {model.model} was promised with digest {model.digest[:12]}, and version "
                f"{placed.ref.version} with {placed.ref.digest[:12]} was found"
            )
        if model.version in self._router.route_of(self._model).split.versions:
            self._router.load(self._model, placed, role, self._judge)
            return
        known = self._problems(self._servers.living())
        self._router.load(self._model, placed, role, self._judge)
        self._wait_until_loaded(role, model.version, known)

    def ask(self, version: int, requests: Sequence[bytes]) -> Sequence[Answer]:
        """Return what the servers answer when they are asked for a version that was deployed.

        Raises:
            InfrastructureError: the servers are down, or do not answer.
        """
        return self._servers.ask(self._model, version, requests)

    def route(self, split: TrafficSplit) -> None:
        """Move the traffic, atomically; the same split again changes nothing.

        Raises:
            BadInputError: the split is of another model, or cannot be one.
            StaleRevisionError: a newer revision is routed already, or the same with another split.
            ConflictError: a version of the split was not deployed.
            FaultError: the snapshot is damaged.
            InfrastructureError: the snapshot cannot be written.
        """
        if split.model != self._model:
            raise BadInputError(f"this split is of {split.model}; this is where {self._model} is served")
        self._router.route(split, self._judge)

    def traffic(self) -> TrafficSplit:
        """Return what is served, as the slowest server reports it; revision 0 where nothing is.

        While a server is still at another revision than the snapshot, only that revision is known: the split then
        names no version.

        Raises:
            FaultError: the snapshot is damaged.
            InfrastructureError: the servers are down, or do not answer.
        """
        split = self._router.route_of(self._model).split
        slowest = min(each.status.revs.get(self._model, 0) for each in self._servers.living())
        if slowest < split.rev:
            self._servers.remind()
        return split if slowest == split.rev else TrafficSplit(self._model, slowest)

    def health(self, role: Role, window_s: float) -> Health:
        """Return what happened to a role's requests in the last `window_s` seconds.

        Raises:
            InfrastructureError: the servers are down, or do not answer.
        """
        seen = self._servers.health(self._model, role, window_s)
        return seen or Health(role, None, 0, {}, 0.0)

    def judged(self) -> JudgeReport | None:
        """Return what the judge beside the traffic knows; None before the first split.

        Raises:
            InfrastructureError: the servers are down, or do not answer.
        """
        return self._servers.report(self._model)

    def retire(self, role: Role) -> None:
        """Let go of a role's version if no split names it there; idempotent.

        Raises:
            ConflictError: the split has a version in this role.
            FaultError: the snapshot is damaged.
            InfrastructureError: the snapshot cannot be written.
        """
        self._router.unload(self._model, role)

    def _problems(self, servers: Sequence[Server]) -> Mapping[tuple[str, int], str]:
        """Return what keeps each process from serving the model as the snapshot says."""
        return {_process(each): each.status.problems.get(self._model, "") for each in servers}

    def _wait_until_loaded(self, role: Role, version: int, known: Mapping[tuple[str, int], str]) -> None:
        """Return when every server has the version loaded.

        Raises:
            FaultError: a server says why it cannot, and did not say so before.
            InfrastructureError: some are not ready in time, or the servers went away.
        """
        limit_s = min(self._ready_s, left_s())
        end = time.monotonic() + limit_s
        while True:
            late = time.monotonic() > end
            try:
                waiting = [each for each in self._servers.living() if not self._has_loaded(each, version)]
                if waiting:
                    self._servers.remind()
            except InfrastructureError:
                if late:
                    raise
            else:
                if not waiting:
                    return
                self._fail_if_impossible(role, version, waiting, {} if late else known)
                if late:
                    on = "" if limit_s == self._ready_s else ", is loaded on, and looked at again the next time"
                    raise InfrastructureError(
                        f"version {version} of {self._model} was not loaded within {round(limit_s, 1):g} s by "
                        f"{waiting[0].name}; it gets no traffic{on}"
                    )
            time.sleep(self._poll_s)

    def _has_loaded(self, server: Server, version: int) -> bool:
        return version in server.status.loaded.get(self._model, ())

    def _fail_if_impossible(
        self, role: Role, version: int, waiting: Sequence[Server], known: Mapping[tuple[str, int], str]
    ) -> None:
        for server in waiting:
            problem = server.status.problems.get(self._model, "")
            if re.search(rf"\bversion {version}\b", problem) and problem != known.get(_process(server)):
                self._router.unload(self._model, role)  # or the servers would try again for ever
                raise FaultError(f"version {version} of {self._model} cannot be loaded by {server.name}: {problem}")


def _process(server: Server) -> tuple[str, int]:
    return server.name, server.status.pid


def heard_lately(workers: Sequence[WorkerStatus]) -> list[WorkerStatus]:
    """Return the workers of one gateway that are alive."""
    return [worker for worker in workers if worker.alive_s <= SILENT_S]
