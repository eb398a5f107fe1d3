"""Gateway processes on this machine as a deployment target. Knows no ledger; loads no model itself.

What is to be served is written into the router file, which the gateway follows. New versions get into a split only once
every worker has loaded them. Moving traffic asks no gateway: a split that takes traffic away from a version must be
written also while the servers are down, or they would start again with it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping

from components.errors import BadInputError, DigestMismatchError, FaultError, InfrastructureError
from components.release.router import RouterFile
from components.release.targets.gateway_client import GatewayClient
from components.types.judging import GatewayStatus, Health, JudgeReport, WorkerStatus
from components.types.release import JudgeSettings, ModelRef, PlacedModel, Role, TrafficSplit

SILENT_S = 10.0
"""A worker that said nothing for so long is gone: its successor loads the snapshot before it listens."""
_POLL_S = 0.05


class ProcessTarget:
    """One model in the gateway that follows a router file."""

    def __init__(
        self,
        model: str,
        router: RouterFile,
        gateway_url: Callable[[], str],
        place: Callable[[ModelRef], PlacedModel],
        judge: JudgeSettings,
        token: str | None = None,
        ready_s: float = 30.0,
    ) -> None:
        """Take what is needed to reach the servers; opens nothing.

        Args:
            model: The model.
            router: The file that the gateway follows.
            gateway_url: Says where the gateway answers, or raises `InfrastructureError` when it does not run.
            place: Puts a version's bytes on this machine, checks its digest, and says where they are.
            judge: What the judge in the gateway is told with the next split.
            token: What the gateway wants to see, if anything.
            ready_s: How long the workers may take to load a version.
        """
        self._model = model
        self._router = router
        self._gateway_url = gateway_url
        self._place = place
        self._judge = judge
        self._token = token
        self._ready_s = ready_s

    def deploy(self, role: Role, model: ModelRef) -> None:
        """Load a version for a role, its digest checked and warm, without traffic; return when ready; idempotent.

        A version that the split names already was waited for when it came in: of that one only the bytes are checked
        again, so that going back to it needs no answer from a server that is in trouble.

        Raises:
            BadInputError: the version is of another model.
            DigestMismatchError: the bytes are not those that were promised; nothing was changed.
            InfrastructureError: the gateway is down, or did not get ready in time.
            FaultError: the version does not load; it was let go of again. Or the router file is damaged.
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
        known = self._problems(self._status())
        self._router.load(self._model, placed, role, self._judge)
        self._wait_until_loaded(role, model.version, known)

    def route(self, split: TrafficSplit) -> None:
        """Move the traffic, atomically; the same split again changes nothing.

        Raises:
            BadInputError: the split is of another model, or cannot be one.
            StaleRevisionError: a newer revision is routed already, or the same with another split.
            ConflictError: a version of the split was not deployed.
            FaultError: the router file is damaged.
            InfrastructureError: the disk failed.
        """
        if split.model != self._model:
            raise BadInputError(f"this split is of {split.model}; this is where {self._model} is served")
        self._router.route(split, self._judge)

    def traffic(self) -> TrafficSplit:
        """Return what is served, as the slowest worker reports it; revision 0 where nothing is.

        While a worker is still at another revision than the router file, only that revision is known: the split then
        names no version.

        Raises:
            FaultError: the router file is damaged.
            InfrastructureError: the gateway is down, or does not answer.
        """
        split = self._router.route_of(self._model).split
        slowest = min(worker.revs.get(self._model, 0) for worker in _living(self._status()))
        return split if slowest == split.rev else TrafficSplit(self._model, slowest)

    def health(self, role: Role, window_s: float) -> Health:
        """Return what happened to a role's requests in the last `window_s` seconds.

        Raises:
            InfrastructureError: the gateway is down, or does not answer.
        """
        seen = self._client().health(self._model, role, window_s)
        return seen or Health(role, None, 0, {}, 0.0)

    def judged(self) -> JudgeReport | None:
        """Return what the judge in the gateway knows; None before the first split.

        Raises:
            InfrastructureError: the gateway is down, or does not answer.
        """
        return self._status().reports.get(self._model)

    def retire(self, role: Role) -> None:
        """Let go of a role's version if no split names it there; idempotent.

        Raises:
            ConflictError: the split has a version in this role.
            FaultError: the router file is damaged.
            InfrastructureError: the disk failed.
        """
        self._router.unload(self._model, role)

    def _client(self) -> GatewayClient:
        return GatewayClient(self._gateway_url(), self._token)

    def _status(self) -> GatewayStatus:
        return self._client().status()

    def _problems(self, status: GatewayStatus) -> Mapping[int, str]:
        """Return what keeps each process from serving the model as the router file says, by process id."""
        return {each.pid: each.problems[self._model] for each in status.workers if self._model in each.problems}

    def _wait_until_loaded(self, role: Role, version: int, known: Mapping[int, str]) -> None:
        """Return when every worker has the version loaded.

        Raises:
            FaultError: a worker says why it cannot, and did not say so before.
            InfrastructureError: some are not ready in time, or the gateway went away.
        """
        end = time.monotonic() + self._ready_s
        while True:
            late = time.monotonic() > end
            try:
                waiting = [w for w in _living(self._status()) if version not in w.loaded.get(self._model, ())]
            except InfrastructureError:
                if late:
                    raise
            else:
                if not waiting:
                    return
                self._fail_if_impossible(role, version, waiting, {} if late else known)
                if late:
                    raise InfrastructureError(
                        f"version {version} of {self._model} was not loaded within {self._ready_s:g} s by worker "
                        f"{waiting[0].worker} of the gateway; it gets no traffic"
                    )
            time.sleep(_POLL_S)

    def _fail_if_impossible(
        self, role: Role, version: int, waiting: list[WorkerStatus], known: Mapping[int, str]
    ) -> None:
        for worker in waiting:
            problem = worker.problems.get(self._model, "")
            if re.search(rf"\bversion {version}\b", problem) and problem != known.get(worker.pid):
                self._router.unload(self._model, role)  # or the workers would try again for ever
                raise FaultError(
                    f"version {version} of {self._model} cannot be loaded by worker {worker.worker}: {problem}"
                )


def _living(status: GatewayStatus) -> list[WorkerStatus]:
    living = [worker for worker in status.workers if worker.alive_s <= SILENT_S]
    if not living:
        raise InfrastructureError(f"no worker of the gateway said anything for {SILENT_S:g} s; look at its log")
    return living
