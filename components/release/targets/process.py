"""Gateway processes on this machine as a deployment target. Knows no ledger; loads no model itself.

What is to be served is written into the router file, which the gateway follows; see `following`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from components.errors import InfrastructureError
from components.release.protocol import Answer
from components.release.router import RouterFile
from components.release.targets.following import SILENT_S, FollowingTarget, Server, heard_lately
from components.release.targets.gateway_client import GatewayClient
from components.types.judging import Health, JudgeReport
from components.types.release import JudgeSettings, ModelRef, PlacedModel, Role

_POLL_S = 0.05


class ProcessTarget(FollowingTarget):
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
        super().__init__(model, router, OneGateway(gateway_url, token), place, judge, ready_s, _POLL_S)


class OneGateway:
    """The workers of one gateway, which look at the router file several times a second."""

    def __init__(self, url: Callable[[], str], token: str | None) -> None:
        """Take what says where it listens, and the token that it wants."""
        self._url = url
        self._token = token

    def living(self) -> Sequence[Server]:
        """Return its workers.

        Raises:
            InfrastructureError: it is down, does not answer, or has no worker left.
        """
        living = heard_lately(self._client().status().workers)
        if not living:
            raise InfrastructureError(f"no worker of the gateway said anything for {SILENT_S:g} s; look at its log")
        return [Server(f"worker {each.worker} of the gateway", each) for each in living]

    def report(self, model: str) -> JudgeReport | None:
        """Return what its judge knows.

        Raises:
            InfrastructureError: it is down, or does not answer.
        """
        return self._client().status().reports.get(model)

    def health(self, model: str, role: Role, window_s: float) -> Health | None:
        """Return what happened to a role's requests.

        Raises:
            InfrastructureError: it is down, or does not answer.
        """
        return self._client().health(model, role, window_s)

    def ask(self, model: str, version: int, requests: Sequence[bytes]) -> Sequence[Answer]:
        """Return what its workers answer, who share its address.

        Raises:
            InfrastructureError: it is down, or does not answer.
        """
        return self._client().ask_workers(model, version, requests)

    def remind(self) -> None:
        """Do nothing: a file on this machine is not overlooked."""

    def _client(self) -> GatewayClient:
        return GatewayClient(self._url(), self._token)
