"""Read a router snapshot, and say whether a model's route may be taken over. Loads nothing."""

from __future__ import annotations

import re
from pathlib import Path

from components.errors import ConfigError
from components.types import record
from components.types.release import ModelRoute, RouterSnapshot

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def read_snapshot(path: Path) -> RouterSnapshot:
    """Return the snapshot in a file.

    Raises:
        ConfigError: there is none, or it is not a snapshot.
    """
    try:
        snapshot = record.read(RouterSnapshot, path)
    except FileNotFoundError:
        raise ConfigError(f"there is no router snapshot {path}; register a model first (`towpath run MODEL`)") from None
    except OSError as error:
        raise ConfigError(f"the router snapshot {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{path} is not a router snapshot: {error}") from None
    for name, route in snapshot.models.items():
        _check_route(name, route, path)
    return snapshot


def refused(new: ModelRoute, old: ModelRoute) -> str | None:
    """Return why a route may not follow another of the same model, or None: revisions only grow and fix their split."""
    if new.split.rev < old.split.rev:
        return f"the snapshot has revision {new.split.rev}, older than {old.split.rev}; it was refused"
    if new.split.rev == old.split.rev and new.split != old.split:
        return f"the snapshot has another split without a new revision ({new.split.rev}); it was refused"
    if new.split.rev == old.split.rev:
        for number in map(str, sorted(new.split.versions)):
            if new.loaded[number].ref != old.loaded[number].ref:
                return f"the snapshot has another digest for version {number} without a new revision; it was refused"
    return None


def _check_route(name: str, route: ModelRoute, path: Path) -> None:
    if _NAME.fullmatch(name) is None:
        raise ConfigError(f"{path}: `{name[:80]}` is no model name; expected letters, digits, `_` and `-`")
    named = {route.split.model, *(placed.ref.model for placed in route.loaded.values())}
    if named != {name}:
        other = min(named - {name})
        raise ConfigError(f"{path}: `{name}` stands for model `{other}`; expected the same name")
    for number, placed in route.loaded.items():
        if number != str(placed.ref.version):
            raise ConfigError(f"{path}: `{number}` of {name} stands for version {placed.ref.version}")
    if absent := {str(version) for version in route.split.versions} - route.loaded.keys():
        raise ConfigError(f"{path}: version {min(absent)} of {name} is in the split and not among those to be loaded")
    if not 0 <= route.split.weight <= 100:
        raise ConfigError(f"{path}: the canary of {name} gets {route.split.weight} %, expected 0 to 100")
