"""Read the ledgers of all environments for an audit: verify, list, export. Changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.errors import BadInputError, UnknownNameError
from components.release.records import Event, Head, Verification
from components.types.record import dump, load
from components.types.release import Environment
from pipelines.release.environments import EnvironmentConfig, load_environment


def verify(model: str | None, env: str | None, exported: Path | None) -> tuple[Verification, ...]:
    """Check every chain, and against an earlier export where one is given.

    Raises:
        UnknownNameError: there is no such environment, or nothing of the model stands anywhere.
        BadInputError: the export cannot be read.
        InfrastructureError: a ledger cannot be reached.
    """
    anchors = _heads(exported) if exported else {}
    found = [
        where.ledger().verify(name, where.name, anchors.pop((name, where.name.value), None))
        for where, name in _chains(model, env, missing_is_unknown=model not in {name for name, _ in anchors})
    ]
    for head in anchors.values():  # a whole chain that is gone
        if (model is None or head.model == model) and (env is None or head.env.value == env):
            found.append(load_environment(head.env.value).ledger().verify(head.model, head.env, head))
    return tuple(found)


def events(model: str, env: str | None) -> tuple[Event, ...]:
    """Return a model's events by environment, oldest first.

    Raises:
        UnknownNameError: there is no such environment, or nothing of the model stands anywhere.
        InfrastructureError: a ledger cannot be reached.
    """
    return tuple(event for where, _ in _chains(model, env) for event in where.ledger().events(model, where.name))


def export(model: str | None, env: str | None) -> dict[str, Any]:
    """Return every chain with its head, as plain JSON.

    Raises:
        UnknownNameError: there is no such environment, or nothing of the model stands anywhere.
        InfrastructureError: a ledger cannot be reached.
    """
    return {"chains": [dump(where.ledger().export(name, where.name)) for where, name in _chains(model, env)]}


def _chains(
    model: str | None, env: str | None, *, missing_is_unknown: bool = True
) -> Iterator[tuple[EnvironmentConfig, str]]:
    """Yield every chain's environment and model, also where only its events or only its slot are left."""
    names = [env] if env else [each.value for each in Environment]
    found = [
        (where, name)
        for where in map(load_environment, names)
        for name, stands_in in where.ledger().chains()
        if stands_in is where.name and model in (None, name)
    ]
    if model is not None and not found and missing_is_unknown:
        raise UnknownNameError(
            f"no ledger has an event of {model} in {' or '.join(names)}; `towpath status` lists models"
        )
    yield from found


def _heads(path: Path) -> dict[tuple[str, str], Head]:
    try:
        chains = json.loads(path.read_text(encoding="utf-8"))["chains"]
        heads = [load(Head, chain["head"]) for chain in chains]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInputError(f"{path} is not an export of `towpath ledger export`: {error}") from error
    return {(head.model, head.env.value): head for head in heads}
