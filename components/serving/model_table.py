"""What is served at one moment: every model's traffic, and which path leads to which. Immutable.

A request takes the table once, when it starts, and keeps it to its end: so a swap is one assignment, and no answer
mixes two versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from components.serving import inference_v2, invocations, tensorflow_rest
from components.serving.protocol import Protocol
from components.serving.served_model import ServedModel
from components.serving.traffic import Traffic
from components.types.release import Role


class Action(Enum):
    """What a path asks for."""

    LIVE = auto()
    READY = auto()
    PING = auto()
    VERSION = auto()
    METRICS = auto()
    SERVER = auto()
    MODEL = auto()
    MODEL_READY = auto()
    INFER = auto()
    INVOKE = auto()
    INVOKE_ANY = auto()
    PREDICT = auto()
    PREDICT_STATUS = auto()
    PREDICT_METADATA = auto()
    LABELS = auto()
    STATUS = auto()
    HEALTH = auto()
    PAGE = auto()


_PROTOCOLS: Mapping[Action, Protocol] = {
    Action.INFER: inference_v2.parse,
    Action.INVOKE: invocations.parse,
    Action.INVOKE_ANY: invocations.parse,
    Action.PREDICT: tensorflow_rest.parse,
}
_OPEN = frozenset({Action.LIVE, Action.READY, Action.PING})
"""Health is answered without a token: whoever probes it learns nothing else."""

_FIXED: Mapping[str, Action] = {
    "/v2": Action.SERVER,
    "/v2/health/live": Action.LIVE,
    "/v2/health/ready": Action.READY,
    "/health": Action.PING,
    "/ping": Action.PING,
    "/version": Action.VERSION,
    "/metrics": Action.METRICS,
    "/invocations": Action.INVOKE_ANY,
    "/release": Action.PAGE,
    "/release/status": Action.STATUS,
    "/release/health": Action.HEALTH,
}
PAGE_ROUTE = "/release/"
"""Below it a page for every model, also one that only the ledger knows."""


@dataclass(frozen=True)
class Route:
    """Where a path leads."""

    action: Action
    model: ServedModel | None = None
    """The version that is stable, or that the path names."""
    unavailable: str = ""
    """Why the model that the path names is not served."""
    traffic: Traffic | None = None
    """Everything that is loaded of the model."""
    role: Role | None = Role.STABLE
    """What the version is asked as; None where the path names it."""
    is_apart: bool = False
    """Whether the version may hang, because it is not stable: it never computes on the event loop."""
    protocol: Protocol | None = field(init=False)
    """What is spoken where predictions are asked for."""
    takes_body: bool = field(init=False)
    is_open: bool = field(init=False)
    judged: Traffic | None = field(init=False)
    """The traffic whose judge hears of the requests that come this way."""

    def __post_init__(self) -> None:  # once per swap: looking an enum up in a set costs each request 0.5 µs
        predicts = self.action in _PROTOCOLS
        object.__setattr__(self, "protocol", _PROTOCOLS.get(self.action))
        object.__setattr__(self, "takes_body", predicts or self.action is Action.LABELS)
        object.__setattr__(self, "is_open", self.action in _OPEN)
        heard = predicts and self.role is not None and self.traffic is not None and self.traffic.judge is not None
        object.__setattr__(self, "judged", self.traffic if heard else None)


@dataclass(frozen=True)
class ModelTable:
    """The models served now."""

    sequence: int = 0
    """The newest snapshot that is served completely."""
    traffic: Mapping[str, Traffic] = field(default_factory=dict)
    """By model: every one of which something is loaded."""
    unavailable: Mapping[str, str] = field(default_factory=dict)
    """Models that should have a stable version and of which none could be loaded, with the reason."""
    routes: Mapping[str, Route] = field(default_factory=lambda: make_routes({}, {}))

    @property
    def models(self) -> dict[str, ServedModel]:
        """The stable versions, by model."""
        return {name: each.stable for name, each in self.traffic.items() if each.stable is not None}

    @property
    def is_ready(self) -> bool:
        """Whether there is something to serve, and no model without the version that it should have."""
        return bool(self.models) and not self.unavailable


def make_table(sequence: int, traffic: Mapping[str, Traffic], unavailable: Mapping[str, str]) -> ModelTable:
    """Return the table that serves these models."""
    return ModelTable(sequence, traffic, unavailable, make_routes(traffic, unavailable))


def make_routes(traffic: Mapping[str, Traffic], unavailable: Mapping[str, str]) -> dict[str, Route]:
    """Return every path that the gateway knows, so that finding one costs a single look-up."""
    routes = {path: Route(action) for path, action in _FIXED.items()}
    for name, each in traffic.items():
        pinned = {
            version: Route(Action.MODEL, model, traffic=each, role=None, is_apart=version != each.split.stable)
            for version, model in each.versions.items()
        }
        for version, route in pinned.items():
            _add_inference_v2(routes, f"/v2/models/{name}/versions/{version}", route)
            _add_tensorflow_rest(routes, f"/v1/models/{name}/versions/{version}", route)
        for role in Role:
            if (version := getattr(each.split, role.value)) in pinned:
                _add_tensorflow_rest(routes, f"/v1/models/{name}/labels/{role.value}", pinned[version])
        reason = "" if each.stable else f"model {name} has no stable version yet"
        _add_model(routes, name, Route(Action.MODEL, each.stable, unavailable.get(name, reason), each))
    for name in unavailable.keys() - traffic.keys():
        _add_model(routes, name, Route(Action.MODEL, None, unavailable[name]))
    answering = [name for name, each in traffic.items() if each.stable is not None]
    if len({*answering, *unavailable}) == 1:
        routes["/invocations"] = routes[f"/models/{next(iter({*answering, *unavailable}))}/invocations"]
    return routes


def _add_model(routes: dict[str, Route], name: str, route: Route) -> None:
    _add_inference_v2(routes, f"/v2/models/{name}", route)
    _add_tensorflow_rest(routes, f"/v1/models/{name}", route)
    routes[f"/models/{name}/invocations"] = replace(route, action=Action.INVOKE)
    routes[f"/models/{name}/labels"] = replace(route, action=Action.LABELS)


def _add_inference_v2(routes: dict[str, Route], prefix: str, route: Route) -> None:
    for suffix, action in (("", Action.MODEL), ("/ready", Action.MODEL_READY), ("/infer", Action.INFER)):
        routes[prefix + suffix] = replace(route, action=action)


def _add_tensorflow_rest(routes: dict[str, Route], prefix: str, route: Route) -> None:
    paths = (("", Action.PREDICT_STATUS), ("/metadata", Action.PREDICT_METADATA), (":predict", Action.PREDICT))
    for suffix, action in paths:
        routes[prefix + suffix] = replace(route, action=action)
