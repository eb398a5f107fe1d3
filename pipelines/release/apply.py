"""Let the world follow the ledger: the outbox in order, every write fenced by its revision. Decides nothing.

A row is done when what it names is at the slot's present revision or beyond; so a row that waited too long, or is
worked on twice, does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from components.errors import FaultError, StaleRevisionError, TowpathError
from components.release.projection import aliases
from components.release.protocol import DeploymentTarget
from components.release.records import OutboxRow, Slot
from components.release.states import Standing, state_of
from components.tracking.connection import time_limit
from components.types.release import Environment, Role, TrafficSplit
from pipelines.placement import write_router
from pipelines.release.environments import EnvironmentConfig
from pipelines.release.observe import stored_plan, subject_of
from pipelines.release.sinks import ALIASES, PAGE, PUBLISHER, ROUTER

MLFLOW_S = 5
"""How long an MLflow that does not answer may keep whoever moves traffic; what it missed stays open."""
ROLES = (Role.STABLE, Role.PREVIOUS, Role.SHADOW, Role.CANARY)


@dataclass(frozen=True)
class Applied:
    """One row of the outbox that was worked on."""

    model: str
    rev: int
    sink: str
    problem: str
    """Why it is still open; empty when it is done."""


def apply_outbox(env: EnvironmentConfig, model: str | None = None) -> tuple[Applied, ...]:
    """Work on everything that is open, in order; what fails stays open and holds back only what follows it.

    Args:
        env: Whose ledger.
        model: Only this model's rows.

    Raises:
        InfrastructureError: the ledger cannot be reached.
    """
    return _apply(env, [row for row in env.ledger().pending(env.name) if model in (None, row.model)])


def apply_traffic(env: EnvironmentConfig, model: str) -> tuple[Applied, ...]:
    """Work on what moves a model's traffic, and on nothing that could keep the caller from what is urgent.

    Raises:
        InfrastructureError: the ledger cannot be reached.
    """
    return _apply(env, [row for row in env.ledger().pending(env.name) if (row.model, row.sink) == (model, ROUTER)])


def apply_rest(env: EnvironmentConfig, model: str) -> tuple[Applied, ...]:
    """Work on what follows the traffic: aliases, publishers, the page. Any of them may be slow, or down.

    Raises:
        InfrastructureError: the ledger cannot be reached.
    """
    rows = [row for row in env.ledger().pending(env.name) if row.model == model and row.sink != ROUTER]
    with time_limit(MLFLOW_S):
        return _apply(env, rows)


def _apply(env: EnvironmentConfig, rows: Iterable[OutboxRow]) -> tuple[Applied, ...]:
    ledger = env.ledger()
    done: list[Applied] = []
    stuck: set[tuple[str, str]] = set()
    settled: set[tuple[str, str, int]] = set()
    for row in rows:
        if (row.model, row.sink) in stuck:
            continue
        slot = ledger.slot(row.model, row.env)
        problem = "" if (row.model, row.sink, slot.rev) in settled else _try(env, row, slot)
        if problem:
            stuck.add((row.model, row.sink))
            ledger.failed(row, problem)
        else:
            ledger.applied(row)
            if not row.sink.startswith(PUBLISHER):  # a publisher is told of every event, the others of the last
                settled.add((row.model, row.sink, slot.rev))
        done.append(Applied(row.model, row.rev, row.sink, problem))
    return tuple(done)


def split_of(slot: Slot) -> TrafficSplit:
    """Return a slot as traffic; a paused rollout keeps its split, because a pause raises nothing."""
    return TrafficSplit(
        slot.model, slot.rev, slot.stable, slot.canary, slot.shadow, slot.previous, slot.weight if slot.canary else 0
    )


def follow_traffic(env: EnvironmentConfig, slot: Slot) -> None:
    """Make what serves in an environment follow a slot.

    Raises:
        TowpathError: as `route_traffic`.
    """
    if env.name is Environment.LOCAL:  # its gateway need not run: it reads the file when it does
        write_router(env.root)
    else:
        route_traffic(env, slot)


def route_traffic(env: EnvironmentConfig, slot: Slot) -> None:
    """Make the target serve a slot: load first, then move, then let go.

    What the target serves already is not looked at again: it is in memory, and a way back must not hang on bytes that
    were damaged since. A previous version that cannot be loaded is left out and told of, after the traffic has moved.

    Raises:
        StaleRevisionError: the target is further already.
        DigestMismatchError: bytes are not those that were promised.
        InfrastructureError: the target is down.
        FaultError: a version does not load.
    """
    subject = subject_of(slot)
    plan = stored_plan(env, slot, subject)[1] if subject is not None else None
    target, split = env.target(slot.model, plan), split_of(slot)
    refs = {version: env.ledger().version(slot.model, version).ref for version in split.versions}
    served, left_out = served_split(target), None
    for role in ROLES:
        version = split.version(role)
        if version is None or version in served.versions:
            continue
        try:
            target.deploy(role, refs[version])
        except FaultError as error:
            if role is not Role.PREVIOUS:
                raise
            left_out = error
    if not is_served(served, slot):
        target.route(split if left_out is None else replace(split, previous=None))
    for role in ROLES:
        is_prepared = role is Role.CANARY and slot.candidate is not None  # it gets its traffic at the next step
        if split.version(role) is None and not is_prepared:
            target.retire(role)
    if left_out is not None:
        raise left_out


def is_served(found: TrafficSplit, slot: Slot) -> bool:
    """Return whether what servers report is what a slot says; a previous version that did not load may be missing."""
    wanted = split_of(slot)
    return found in (wanted, replace(wanted, previous=None))


def served_split(target: DeploymentTarget) -> TrafficSplit:
    """Return what servers report; revision 0 where they cannot be asked."""
    try:
        return target.traffic()
    except TowpathError:
        return TrafficSplit("", 0)


def write_aliases(env: EnvironmentConfig, slot: Slot, *, ledger_wins: bool = False) -> tuple[str, ...]:
    """Make MLflow's aliases and its versions' tags what the slot says, and return the aliases that stood elsewhere.

    Raises:
        InfrastructureError: MLflow cannot be reached.
    """
    wanted = aliases(slot)
    registry = env.registry()
    change = registry.set_aliases(
        wanted.model, wanted.champion, wanted.challenger, wanted.rev, prefix=env.alias_prefix, ledger_wins=ledger_wins
    )
    if not change.stale:
        ledger = env.ledger()
        events = ledger.events(slot.model, env.name)
        states = {each.version: state_of(each, slot, events) for each in ledger.versions(slot.model)}
        standings = {
            number: f"{state} {state.weight} %" if state.standing is Standing.CANARY else str(state)
            for number, state in states.items()
            if state.standing is not Standing.REGISTERED
        }
        registry.set_standings(slot.model, env.name.value, standings)
    return change.changed


def _try(env: EnvironmentConfig, row: OutboxRow, slot: Slot) -> str:
    sink, _, name = row.sink.partition(":")
    try:
        if sink == PUBLISHER:
            _publish(env, row, slot, name)
        else:
            _FOLLOWERS[sink](env, slot)
    except StaleRevisionError as error:
        if env.ledger().slot(row.model, row.env).rev > slot.rev:
            return ""  # somebody brought it further than this row asks for
        return str(error)
    except TowpathError as error:
        return str(error)
    return ""


def _publish(env: EnvironmentConfig, row: OutboxRow, slot: Slot, name: str) -> None:
    if name not in env.publisher_names():
        return  # it was taken out of the configuration since: nobody is left to be told
    events = env.ledger().events(row.model, row.env, after_rev=row.rev - 1)
    env.publish(name, slot, events[0])


def _page(env: EnvironmentConfig, _slot: Slot) -> None:
    from pipelines.release.view import write_view

    write_view(env)


_FOLLOWERS: Mapping[str, Callable[[EnvironmentConfig, Slot], object]] = {
    ROUTER: follow_traffic,
    ALIASES: write_aliases,
    PAGE: _page,
}


def problems(applied: tuple[Applied, ...]) -> Iterator[str]:
    """Yield a sentence for everything that is still open."""
    for each in applied:
        if each.problem:
            yield f"{each.sink} of {each.model} does not follow revision {each.rev} yet: {each.problem}"
