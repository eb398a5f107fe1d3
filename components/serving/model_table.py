"""What is served at one moment: the models of a snapshot, and which path leads to which. Immutable.

A request takes the table once, when it starts, and keeps it to its end: so a swap is one assignment, and no answer
mixes two versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from components.serving.served_model import ServedModel


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


_PREDICTING = frozenset({Action.INFER, Action.INVOKE, Action.INVOKE_ANY})
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
}


@dataclass(frozen=True)
class Route:
    """Where a path leads."""

    action: Action
    model: ServedModel | None = None
    unavailable: str = ""
    """Why the model that the path names is not served."""
    predicts: bool = field(init=False)
    is_open: bool = field(init=False)

    def __post_init__(self) -> None:  # once per swap: looking an enum up in a set costs each request 0.5 µs
        object.__setattr__(self, "predicts", self.action in _PREDICTING)
        object.__setattr__(self, "is_open", self.action in _OPEN)


@dataclass(frozen=True)
class ModelTable:
    """The models served now."""

    rev: int = 0
    """The newest snapshot that is served completely."""
    models: Mapping[str, ServedModel] = field(default_factory=dict)
    unavailable: Mapping[str, str] = field(default_factory=dict)
    """Models that the snapshot names and no version of which could be loaded, with the reason."""
    routes: Mapping[str, Route] = field(default_factory=lambda: make_routes({}, {}))

    @property
    def is_ready(self) -> bool:
        """Whether there is something to serve, and no model without a version."""
        return bool(self.models) and not self.unavailable


def make_table(rev: int, models: Mapping[str, ServedModel], unavailable: Mapping[str, str]) -> ModelTable:
    """Return the table that serves these models."""
    return ModelTable(rev, models, unavailable, make_routes(models, unavailable))


def make_routes(models: Mapping[str, ServedModel], unavailable: Mapping[str, str]) -> dict[str, Route]:
    """Return every path that the gateway knows, so that finding one costs a single look-up."""
    routes = {path: Route(action) for path, action in _FIXED.items()}
    if len(models) + len(unavailable) == 1:
        only = next(iter(models.values()), None)
        routes["/invocations"] = Route(Action.INVOKE, only, next(iter(unavailable.values()), ""))
    for name, model in models.items():
        for prefix in (f"/v2/models/{name}", f"/v2/models/{name}/versions/{model.version}"):
            _add_model(routes, prefix, Route(Action.MODEL, model))
        routes[f"/models/{name}/invocations"] = Route(Action.INVOKE, model)
    for name, reason in unavailable.items():
        _add_model(routes, f"/v2/models/{name}", Route(Action.MODEL, None, reason))
        routes[f"/models/{name}/invocations"] = Route(Action.INVOKE, None, reason)
    return routes


def _add_model(routes: dict[str, Route], prefix: str, route: Route) -> None:
    for suffix, action in (("", Action.MODEL), ("/ready", Action.MODEL_READY), ("/infer", Action.INFER)):
        routes[prefix + suffix] = Route(action, route.model, route.unavailable)
