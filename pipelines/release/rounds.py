"""One round: every slot of every environment is looked at first, and only then does everything else follow. Idempotent.

What follows may be slow or down: with MLflow away, whoever waited for it before the last slot would never get there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from components.errors import AlreadyRunningError, TowpathError
from components.release.records import Slot
from components.release.targets.loading_time import loading_time
from components.tracking.connection import time_limit
from pipelines.release.apply import MLFLOW_S, apply_rest, problems
from pipelines.release.environments import EnvironmentConfig
from pipelines.release.sinks import ROUTER
from pipelines.release.tick import Ticked, alone, foresee, look, with_sentences

LOADING_S = 30.0
"""How long a round may wait for versions that are being loaded, in all: the scheduled one is stopped after 55 s."""

Look = Callable[[str], Sequence[Ticked]]
"""Looks at an environment by its name."""
Follow = Callable[[str, Sequence[Ticked]], Sequence[Ticked]]
"""Lets the rest of an environment follow what was seen there, and says beside it what does not."""


@dataclass(frozen=True)
class Round:
    """What became of a round."""

    looked: tuple[Ticked, ...]
    errors: tuple[tuple[str, TowpathError], ...]
    """By environment: what kept it from being looked at, or from following."""


def go_round(names: Sequence[str], look_at: Look, follow: Follow) -> Round:
    """Look at some environments, and then let everything follow; none of them keeps the others from it."""
    seen: dict[str, Sequence[Ticked]] = {}
    errors: list[tuple[str, TowpathError]] = []
    with time_limit(MLFLOW_S), loading_time(LOADING_S):
        for name in names:
            try:
                seen[name] = look_at(name)
            except TowpathError as error:
                errors.append((name, error))
        for name in names:
            try:
                seen[name] = follow(name, seen.get(name, ()))
            except TowpathError as error:
                errors.append((name, error))
    return Round(tuple(each for name in names for each in seen.get(name, ())), tuple(errors))


def tick_all(env: EnvironmentConfig) -> tuple[Ticked, ...]:
    """Look once at every slot of an environment, and let everything follow.

    Raises:
        InfrastructureError: the ledger cannot be reached: then nothing moves, and the gateways serve on.
    """
    with time_limit(MLFLOW_S):
        return follow_all(env, look_all(env))


def look_all(env: EnvironmentConfig) -> tuple[Ticked, ...]:
    """Look once at every slot and move its traffic; one slot's trouble never keeps another from being looked at.

    Raises:
        InfrastructureError: the ledger cannot be reached: then nothing moves, and the gateways serve on.
    """
    return tuple(_safely(env, slot, look) for slot in _slots(env))


def follow_all(env: EnvironmentConfig, looked: Sequence[Ticked]) -> tuple[Ticked, ...]:
    """Let aliases, publishers and the page follow what was looked at, and say beside it what does not.

    Raises:
        InfrastructureError: the ledger cannot be reached.
    """
    if not looked:
        return ()
    behind = {row.model for row in env.ledger().pending(env.name) if row.sink != ROUTER}
    return tuple(_followed(env, each) if each.model in behind else each for each in looked)


def foresee_all(env: EnvironmentConfig) -> tuple[Ticked, ...]:
    """Return what looking once at every slot of an environment would come to now; nothing is changed.

    Raises:
        InfrastructureError: the ledger cannot be reached.
    """
    return tuple(_safely(env, slot, foresee) for slot in _slots(env))


def _slots(env: EnvironmentConfig) -> Iterable[Slot]:
    return (slot for slot in env.ledger().slots() if slot.env is env.name)


def _safely(env: EnvironmentConfig, slot: Slot, look_at: Callable[[EnvironmentConfig, str], Ticked]) -> Ticked:
    try:
        return look_at(env, slot.model)
    except AlreadyRunningError as error:
        action, said = "busy", str(error)
    except TowpathError as error:
        action, said = "failed", str(error)
    except Exception as error:  # a fault of ours with one model must not stop the others' rollouts
        action, said = "failed", _fault(error)
    return Ticked(slot.model, env.name.value, slot.rev, action, "", False, (), (said,))


def _followed(env: EnvironmentConfig, looked: Ticked) -> Ticked:
    try:
        with alone(env, looked.model):
            return with_sentences(looked, problems(apply_rest(env, looked.model)))
    except AlreadyRunningError:  # whoever is at it does the same
        return looked
    except TowpathError as error:
        said = str(error)
    except Exception as error:  # nor must it keep the others from following
        said = _fault(error)
    return with_sentences(replace(looked, action="failed"), (said,))


def _fault(error: Exception) -> str:
    return f"a fault of ours, {type(error).__name__}: {error}; please report it"
