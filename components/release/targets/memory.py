"""A deployment target without servers, for the tests of whoever moves traffic. Loads and serves nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import RLock

from components.errors import (
    BadInputError,
    ConflictError,
    DigestMismatchError,
    FaultError,
    InfrastructureError,
    StaleRevisionError,
)
from components.release.protocol import Answer
from components.types.judging import Health, JudgeReport
from components.types.release import ModelRef, Role, TrafficSplit


@dataclass(frozen=True)
class Call:
    """Something that was done to a target, and changed it."""

    verb: str
    """``deploy``, ``route`` or ``retire``."""
    what: tuple[Role, ModelRef] | TrafficSplit | Role


@dataclass
class MemoryTarget:
    """Keep what real servers would; every attribute may be set while it is used, from any thread."""

    model: str
    digests: Mapping[int, str] | None = None
    """The bytes that are there, by version; None takes any version as it is promised."""
    down: bool = False
    slow_s: float = 0.0
    """How long every call takes."""
    confirms: bool = True
    """Whether the servers take over what is routed; if not, `traffic` stays where it is."""
    broken: frozenset[int] = frozenset()
    """Versions that do not load."""
    answers: Callable[[int, bytes], bytes] | None = None
    """What a version answers to a request; None: nothing here could, so that no request gets a valid answer."""
    report: JudgeReport | None = None
    healths: dict[Role, Health] = field(default_factory=dict)
    history: list[Call] = field(default_factory=list)
    """Whatever changed something, oldest first."""

    def __post_init__(self) -> None:
        self._lock = RLock()
        self._deployed: dict[Role, ModelRef] = {}
        self._routed = TrafficSplit(self.model, rev=0)
        self._served = self._routed

    @property
    def deployed(self) -> Mapping[Role, ModelRef]:
        """What was loaded for each role and not let go of."""
        with self._lock:
            return dict(self._deployed)

    def answering(self) -> int | None:
        """Return the version that answers those who do not get the canary.

        Raises:
            InfrastructureError: the target is down.
        """
        self._reach()
        with self._lock:
            return self._served.stable

    def deploy(self, role: Role, model: ModelRef) -> None:
        """Load a version for a role, without traffic; the same again changes nothing.

        Raises:
            BadInputError: the version is of another model.
            DigestMismatchError: the bytes are not those that were promised.
            FaultError: it is one of `broken`.
            InfrastructureError: the target is down.
        """
        self._reach()
        if model.model != self.model:
            raise BadInputError(f"version {model.version} is of {model.model}; this is where {self.model} is served")
        if self.digests is not None and self.digests.get(model.version) != model.digest:
            raise DigestMismatchError(f"version {model.version} of {self.model} has not the digest that was promised")
        if model.version in self.broken:
            raise FaultError(f"version {model.version} of {self.model} does not load")
        with self._lock:
            if self._deployed.get(role) != model:
                self._deployed[role] = model
                self.history.append(Call("deploy", (role, model)))

    def ask(self, version: int, requests: Sequence[bytes]) -> Sequence[Answer]:
        """Return what `answers` gives for each request, in the place of a server.

        Raises:
            InfrastructureError: the target is down.
        """
        self._reach()
        with self._lock:
            there = {*self._routed.versions, *(ref.version for ref in self._deployed.values())}
        if version not in there:
            return [Answer(number, 404, b"it was not deployed") for number in range(len(requests))]
        if self.answers is None:
            return [Answer(number, 503, b"nothing answers in memory") for number in range(len(requests))]
        return [Answer(number, 200, self.answers(version, body)) for number, body in enumerate(requests)]

    def route(self, split: TrafficSplit) -> None:
        """Move the traffic; the same split again changes nothing.

        Raises:
            BadInputError: the split is of another model.
            StaleRevisionError: a newer revision is routed already, or the same with another split.
            ConflictError: a version of the split was not deployed.
            InfrastructureError: the target is down.
        """
        self._reach()
        if split.model != self.model:
            raise BadInputError(f"this split is of {split.model}; this is where {self.model} is served")
        with self._lock:
            if split.rev < self._routed.rev or (split.rev == self._routed.rev and split != self._routed):
                raise StaleRevisionError(f"{self.model} is routed at revision {self._routed.rev} already")
            there = {*self._routed.versions, *(ref.version for ref in self._deployed.values())}
            if absent := sorted(split.versions - there):
                raise ConflictError(f"version {absent[0]} of {self.model} was not deployed; deploy it before routing")
            if split != self._routed:
                self._routed = split
                self.history.append(Call("route", split))
            if self.confirms:
                self._served = split

    def traffic(self) -> TrafficSplit:
        """Return what is served.

        Raises:
            InfrastructureError: the target is down.
        """
        self._reach()
        with self._lock:
            return self._served

    def health(self, role: Role, window_s: float) -> Health:
        """Return what a test put into `healths`, else that nothing happened.

        Raises:
            InfrastructureError: the target is down.
        """
        self._reach()
        with self._lock:
            return self.healths.get(role) or Health(role, self._served.version(role), 0, {}, window_s)

    def judged(self) -> JudgeReport | None:
        """Return what a test put into `report`.

        Raises:
            InfrastructureError: the target is down.
        """
        self._reach()
        return self.report

    def retire(self, role: Role) -> None:
        """Let go of a role's version; done before, it changes nothing.

        Raises:
            ConflictError: the split has a version in this role.
            InfrastructureError: the target is down.
        """
        self._reach()
        with self._lock:
            if (version := self._routed.version(role)) is not None:
                raise ConflictError(f"version {version} of {self.model} is the {role.value}; route elsewhere first")
            if self._deployed.pop(role, None) is not None:
                self.history.append(Call("retire", role))

    def _reach(self) -> None:
        if self.slow_s:
            time.sleep(self.slow_s)
        if self.down:
            raise InfrastructureError(f"the target of {self.model} is down")
