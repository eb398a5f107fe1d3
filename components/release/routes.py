"""What may become of one model's route in a router snapshot: pure, fenced by the revision. Knows no file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from components.errors import BadInputError, ConflictError, DigestMismatchError, StaleRevisionError
from components.types.release import JudgeSettings, ModelRoute, PlacedModel, Role, TrafficSplit

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def with_loaded(route: ModelRoute, placed: PlacedModel, role: Role) -> ModelRoute:
    """Return the route with a version loaded for a role.

    Raises:
        BadInputError: the version is of another model.
        DigestMismatchError: the version is loaded already, with other bytes.
    """
    model, number = route.split.model, str(placed.ref.version)
    _check_model(model, placed)
    there = route.loaded.get(number)
    if there is not None and there.ref.digest != placed.ref.digest:
        raise DigestMismatchError(
            f"version {number} of {model} is loaded with digest {there.ref.digest[:12]}, and "
            f"{placed.ref.digest[:12]} was promised; a version never changes its bytes: register them anew"
        )
    prepared = {**route.prepared, role.value: placed.ref.version}
    return _pruned(replace(route, loaded={**route.loaded, number: placed}, prepared=prepared))


def without_role(route: ModelRoute, role: Role) -> ModelRoute:
    """Return the route without what was loaded for a role, unless another role needs it.

    Raises:
        ConflictError: the split has a version in this role.
    """
    if (version := route.split.version(role)) is not None:
        raise ConflictError(
            f"version {version} of {route.split.model} is the {role.value} at revision {route.split.rev}; "
            "route the traffic elsewhere first"
        )
    prepared = {name: number for name, number in route.prepared.items() if name != role.value}
    return _pruned(replace(route, prepared=prepared))


def with_split(route: ModelRoute, split: TrafficSplit, judge: JudgeSettings) -> ModelRoute:
    """Return the route with another split; the same revision with the same split again changes nothing.

    Raises:
        StaleRevisionError: the route has a newer revision, or this one with another split.
        ConflictError: a version of the split was not loaded first.
    """
    if _is_there(split, route.split):
        return route
    if absent := sorted(version for version in split.versions if str(version) not in route.loaded):
        raise ConflictError(f"version {absent[0]} of {split.model} was not loaded; deploy it before routing")
    return _pruned(replace(route, split=split, judge=judge))


def all_renewed(there: Mapping[str, ModelRoute], wanted: Mapping[str, ModelRoute]) -> dict[str, ModelRoute]:
    """Return all models' routes, those that are wanted in place of what is there, unless what is there is further.

    Raises:
        StaleRevisionError: what is there of a model is another split at the same revision.
    """
    new = {name: _renewed(there.get(name) or ModelRoute(TrafficSplit(name, rev=0)), wanted[name]) for name in wanted}
    return {**there, **new}


def _renewed(there: ModelRoute, route: ModelRoute) -> ModelRoute:
    """Return the route that replaces what is there, with what is being prepared there."""
    if there.split.rev > route.split.rev:
        return there
    _is_there(route.split, there.split)
    return _pruned(replace(route, loaded={**there.loaded, **route.loaded}, prepared=there.prepared))


def check_whole(name: str, route: ModelRoute) -> None:
    """Check that a route is of the model under whose name it stands, and has all that its split names.

    Raises:
        BadInputError: a name or the split cannot be one.
        ConflictError: a version of the split is not among those to be loaded.
    """
    check_split(route.split)
    if route.split.model != name:
        raise BadInputError(f"the route of `{name}` is of model `{route.split.model}`; expected the same name")
    for placed in route.loaded.values():
        _check_model(name, placed)
    for version in sorted(route.split.versions):
        if str(version) not in route.loaded:
            raise ConflictError(f"version {version} of {name} is in the split and not among those to be loaded")


def check_split(split: TrafficSplit) -> None:
    """Check that a split can be one.

    Raises:
        BadInputError: its name, revision or weight cannot be one, or nobody would answer.
    """
    check_name(split.model)
    if split.rev < 1:
        raise BadInputError(f"the split of {split.model} has revision {split.rev}; the ledger's begin at 1")
    if not 0 <= split.weight <= 100:
        raise BadInputError(f"the canary of {split.model} would get {split.weight} %; expected 0 to 100")
    if split.weight and split.canary is None:
        raise BadInputError(f"{split.model} has a canary weight of {split.weight} % and no canary")
    if split.weight and split.stable is None:
        raise BadInputError(f"{split.model} has no stable version to answer those who do not get the canary")


def check_name(model: str) -> None:
    """Check that a model's name is safe as a file's.

    Raises:
        BadInputError: it is not.
    """
    if not _NAME.fullmatch(model):
        raise BadInputError(f"{model[:80]!r} is no model name; expected letters, digits, `_` and `-`")


def _check_model(model: str, placed: PlacedModel) -> None:
    if placed.ref.model != model:
        raise BadInputError(f"version {placed.ref.version} is of model {placed.ref.model}, expected one of {model}")


def _is_there(split: TrafficSplit, there: TrafficSplit) -> bool:
    """Return whether a split is there already.

    Raises:
        StaleRevisionError: what is there is newer, or another split at the same revision.
    """
    if split.rev < there.rev:
        raise StaleRevisionError(f"{split.model} is routed at revision {there.rev}; revision {split.rev} came too late")
    if split.rev == there.rev and split != there:
        raise StaleRevisionError(
            f"{split.model} is routed at revision {there.rev} with another split than this one; read the ledger again"
        )
    return split == there


def _pruned(route: ModelRoute) -> ModelRoute:
    """Keep loaded what the split names and what is being prepared, nothing else."""
    needed = {str(version) for version in (*route.split.versions, *route.prepared.values())}
    return replace(route, loaded={number: placed for number, placed in route.loaded.items() if number in needed})
