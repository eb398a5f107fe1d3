"""Where a release sends traffic: one deployment target per model and environment. Knows no kind of target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from components.types.judging import Health, JudgeReport
from components.types.release import ModelRef, Role, TrafficSplit


@dataclass(frozen=True)
class Answer:
    """What a server answered to one request, good or bad."""

    request: int
    """Which one it was, counted from 0."""
    status: int
    """As in HTTP; 0 where there was no answer at all."""
    body: bytes
    """Where there was none: why."""


class DeploymentTarget(Protocol):
    """A place where versions of one model are served; the ledger says which, the target does it."""

    def deploy(self, role: Role, model: ModelRef) -> None:
        """Load a version for a role, its digest checked and warm, without traffic; return when ready; idempotent.

        Raises:
            DigestMismatchError: the bytes are not those that were promised.
            InfrastructureError: the target is down, or did not get ready in time.
            FaultError: the version does not load.
        """

    def ask(self, version: int, requests: Sequence[bytes]) -> Sequence[Answer]:
        """Return what the servers answer when they are asked for a version that was deployed, with traffic or without.

        Each request is put at least once, and to every server that has an address of its own. Servers that share one
        are asked so often that hardly any of them is left out. Whatever goes wrong with one request is its answer.

        Args:
            version: The version, named in every request, so that no split has a say.
            requests: Bodies of inference requests (Open Inference Protocol v2, JSON).

        Raises:
            InfrastructureError: the target is down, or does not answer at all.
        """

    def route(self, split: TrafficSplit) -> None:
        """Move the traffic, atomically; the same split again changes nothing.

        Raises:
            StaleRevisionError: the target has a newer revision already, or the same with another split.
            ConflictError: a version of the split was not deployed.
            InfrastructureError: the target is down.
        """

    def traffic(self) -> TrafficSplit:
        """Return what is served, as the slowest of its servers reports it; revision 0 where nothing is.

        Raises:
            InfrastructureError: the target is down, or does not answer.
        """

    def health(self, role: Role, window_s: float) -> Health:
        """Return what happened to a role's requests in the last `window_s` seconds.

        Raises:
            InfrastructureError: the target is down, or does not answer.
        """

    def judged(self) -> JudgeReport | None:
        """Return what the judge beside the traffic knows; None before the first split.

        Raises:
            InfrastructureError: the target is down, or does not answer.
        """

    def retire(self, role: Role) -> None:
        """Let go of a role's version if no traffic goes there; idempotent.

        Raises:
            ConflictError: the split sends traffic to it.
            InfrastructureError: the target is down.
        """
