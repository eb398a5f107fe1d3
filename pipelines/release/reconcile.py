"""Compare what follows the ledger with the ledger, report every drift, and repair it. The ledger always wins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from components.errors import TowpathError
from components.release.projection import aliases
from components.release.records import Slot
from components.types.release import Environment, TrafficSplit
from pipelines.release.apply import apply_outbox, follow_traffic, is_served, problems, write_aliases
from pipelines.release.environments import EnvironmentConfig
from pipelines.release.view import write_view


@dataclass(frozen=True)
class Drift:
    """One thing that was not what the ledger says."""

    model: str
    env: str
    what: str
    """``traffic``, ``aliases``, ``outbox``."""
    found: str
    repaired: bool
    problem: str
    """Why it could not be repaired; empty when it was, or when it was only looked at."""


def reconcile(env: EnvironmentConfig, *, repair: bool = True) -> tuple[Drift, ...]:
    """Return every drift of an environment, repaired unless told otherwise.

    Raises:
        InfrastructureError: the ledger cannot be reached.
    """
    drifts: list[Drift] = []
    if repair:
        for row in apply_outbox(env):
            drifts += [Drift(row.model, env.name.value, "outbox", each, False, each) for each in problems((row,))]
    for slot in env.ledger().slots():
        if slot.env is env.name and slot.rev:
            drifts += _traffic(env, slot, repair=repair)
            drifts += _aliases(env, slot, repair=repair)
    if repair:
        write_view(env)
    return tuple(drifts)


def _traffic(env: EnvironmentConfig, slot: Slot, *, repair: bool) -> list[Drift]:
    try:
        found = _served(env, slot.model)
    except TowpathError as error:
        return [Drift(slot.model, env.name.value, "traffic", "the servers could not be asked", False, str(error))]
    if is_served(found, slot):
        return []
    words = f"served at revision {found.rev}"
    if found.rev == slot.rev:  # at another one the servers' versions are not known
        words += f": stable {found.stable}, canary {found.canary} at {found.weight} %, shadow {found.shadow}"
    if found.rev > slot.rev:
        problem = (
            f"the servers are at revision {found.rev}, the ledger is at {slot.rev}: an older ledger was restored; "
            "restore the newest backup, because a lower revision is refused everywhere"
        )
        return [Drift(slot.model, env.name.value, "traffic", words, False, problem)]
    return [_repaired(slot, "traffic", words, repair, lambda: follow_traffic(env, slot))]


def _served(env: EnvironmentConfig, model: str) -> TrafficSplit:
    if env.name is Environment.LOCAL:  # its gateway need not run: what it would read is what counts
        return env.router().route_of(model).split
    return env.target(model).traffic()


def _aliases(env: EnvironmentConfig, slot: Slot, *, repair: bool) -> list[Drift]:
    wanted = aliases(slot)
    try:
        found = env.registry().read_aliases(slot.model, prefix=env.alias_prefix)
    except TowpathError as error:
        return [Drift(slot.model, env.name.value, "aliases", "MLflow could not be asked", False, str(error))]
    if (found.champion, found.challenger, found.rev) == (wanted.champion, wanted.challenger, wanted.rev):
        return []
    words = f"champion {found.champion}, challenger {found.challenger} at revision {found.rev}"
    # a revision that the ledger does not have is an edit by hand, or an older ledger: whichever, the ledger wins
    unknown = found.rev > env.ledger().slot(slot.model, env.name).rev
    return [_repaired(slot, "aliases", words, repair, lambda: write_aliases(env, slot, ledger_wins=unknown))]


def _repaired(slot: Slot, what: str, words: str, repair: bool, mend: Callable[[], object]) -> Drift:
    if not repair:
        return Drift(slot.model, slot.env.value, what, words, False, "")
    try:
        mend()
    except TowpathError as error:
        return Drift(slot.model, slot.env.value, what, words, False, str(error))
    return Drift(slot.model, slot.env.value, what, words, True, "")
