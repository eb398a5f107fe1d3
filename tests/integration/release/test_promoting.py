"""Promoting over a real ledger: who may, what the servers must answer before a commit, and who meets whom."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from components.errors import (
    AlreadyRunningError,
    ConflictError,
    GateRefusedError,
    InfrastructureError,
    StaleRevisionError,
    TowpathError,
)
from components.release.records import Evidence, Placement, Slot
from components.types.release import Environment, Role
from pipelines.release import candidate
from pipelines.release import promote as promoting
from pipelines.release.actors import Actor
from pipelines.release.commit import Move, commit, note
from pipelines.release.environment_config import EnvironmentSection, Right
from pipelines.release.promote import Promotion, promote
from pipelines.release.tick import tick
from tests.releases import MODEL, MemoryEnvironment, healthy_report, ref
from tests.rollouts import stored

pytestmark = pytest.mark.slow
"""MLflow is imported: seconds."""

Place = Callable[..., Slot]
RIGHT = b'{"outputs": [{"name": "prediction", "data": [1.0]}]}'
WRONG = b'{"outputs": [{"name": "prediction", "data": [1.01]}]}'
ENTRY = {"requests": 100, "load_requests_per_s": 20, "load_s": 1}


@pytest.fixture
def staging(env: MemoryEnvironment) -> MemoryEnvironment:
    """Return the environment before, where versions 2 and 3 were stable one after the other."""
    section = EnvironmentSection(after=Environment.LOCAL, plan="demo")
    made = MemoryEnvironment(Environment.STAGING, section, env.root)
    for version, previous in ((2, None), (3, 2)):
        made.store().put(env.store().path(ref(env, version).digest))
        slot = made.ledger().slot(MODEL, made.name)
        to = Placement(stable=version, previous=previous)
        commit(made, slot, Move(version=version, target="stable", to=to, actor="eve", reason="r", plan_digest="p" * 64))
    return made


@pytest.fixture
def gathered(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """Let every measurement come out well, at once; what a test puts into the list is called before it does."""
    before: list[Callable[[], object]] = []

    def measured(model: str, version: int, env: MemoryEnvironment, *_: Any) -> Iterable[Evidence]:
        slot, recorded = env.ledger().slot(model, env.name), env.ledger().version(model, version)
        for each in before:
            each()
        contents = stored(recorded.digest, against=slot.stable).items()
        return [note(env, slot, version, recorded.digest, kind, content, "eve") for kind, content in contents]

    monkeypatch.setattr(promoting, "gather", measured)
    return before


@pytest.fixture
def production(
    env: MemoryEnvironment, place: Place, gathered: list[Callable[[], object]], monkeypatch: pytest.MonkeyPatch
) -> MemoryEnvironment:
    """Return production with version 1 stable, and servers that answer as the offline prediction."""
    monkeypatch.setattr(promoting, "_FIRST_STEP_S", 0.0)  # no judge will report: one look is enough
    place("stable", 1, stable=1)
    env.memory.answers = lambda *_: RIGHT
    env.memory.history.clear()
    return env


def bring(
    env: MemoryEnvironment, source: MemoryEnvironment, version: int, actor: Actor, plan: str | None = None
) -> Promotion:
    return promote(MODEL, version, env, source, plan, actor, env.root, lambda *_: None)


def deployed(env: MemoryEnvironment) -> list[tuple[Role, int]]:
    """Return what was loaded and let go of, oldest first; what was let go of as version 0."""
    found = []
    for call in env.memory.history:
        if call.verb == "deploy":
            role, version = call.what  # type: ignore[misc]
            found.append((role, version.version))
        elif call.verb == "retire":
            found.append((call.what, 0))
    return found  # type: ignore[return-value]


def test_a_version_that_the_servers_answer_as_predicted_enters_and_its_event_rests_on_that(
    production: MemoryEnvironment, staging: MemoryEnvironment, eve: Actor
) -> None:
    done = bring(production, staging, 3, eve)
    golden = next(each for each in done.verdicts if each.gate == "golden")
    assert golden.passed
    event = next(each for each in production.ledger().events(MODEL, production.name) if each.target == "candidate")
    decisions = production.ledger().evidence(MODEL, production.name, 3, kind="decision")
    decided = next(json.loads(each.content) for each in decisions if each.digest == event.evidence_digest)
    assert "golden" in [each["gate"] for each in decided["verdicts"]]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (lambda *_: WRONG, "1 of 1 golden requests"),
        (lambda *_: b'{"error": "out of memory"}', "out of memory"),
        (None, "status 503"),
    ],
    ids=["another number", "an error", "no way to be asked"],
)
def test_servers_that_answer_otherwise_refuse_the_promotion_and_let_go_of_the_version(
    production: MemoryEnvironment,
    staging: MemoryEnvironment,
    eve: Actor,
    answers: Callable[[int, bytes], bytes] | None,
    words: str,
) -> None:
    before = production.ledger().slot(MODEL, production.name), production.ledger().events(MODEL, production.name)
    production.memory.answers = answers
    with pytest.raises(GateRefusedError, match="version 3 of taxi is refused for production") as refused:
        bring(production, staging, 3, eve)
    assert refused.value.exit_code == 4
    assert words in str(refused.value)
    assert "nothing was moved" in str(refused.value)
    after = production.ledger().slot(MODEL, production.name), production.ledger().events(MODEL, production.name)
    assert after == before
    assert deployed(production) == [(Role.CANARY, 3), (Role.CANARY, 0)]
    assert production.memory.traffic().stable == 1


def test_a_server_that_goes_down_while_it_is_asked_leaves_nothing_committed(
    production: MemoryEnvironment, staging: MemoryEnvironment, eve: Actor
) -> None:
    def down(*_: object) -> bytes:
        raise InfrastructureError("the gateway does not answer")

    production.memory.answers = down
    with pytest.raises(InfrastructureError):
        bring(production, staging, 3, eve)
    assert production.ledger().slot(MODEL, production.name).candidate is None
    assert deployed(production) == [(Role.CANARY, 3), (Role.CANARY, 0)]


def test_servers_that_answer_otherwise_when_traffic_is_due_get_none(
    production: MemoryEnvironment, staging: MemoryEnvironment, eve: Actor
) -> None:
    bring(production, staging, 3, eve)  # without a report it stays a candidate
    slot = production.ledger().slot(MODEL, production.name)
    assert slot.candidate == 3
    production.memory.report = healthy_report(slot)
    production.memory.answers = lambda *_: WRONG  # restarted since, on another machine
    with pytest.raises(GateRefusedError, match="golden"):
        tick(production, MODEL)
    assert production.ledger().slot(MODEL, production.name) == slot
    production.memory.answers = lambda *_: RIGHT
    assert tick(production, MODEL).target == "shadow"


def test_an_author_does_not_propose_their_own_version_for_production(
    production: MemoryEnvironment, staging: MemoryEnvironment
) -> None:
    author = Actor("ada", "production", frozenset(Right), verified=True)
    before = production.ledger().slot(MODEL, production.name)
    with pytest.raises(GateRefusedError, match="proposed by ada, made by ada; they must differ") as refused:
        bring(production, staging, 3, author, "default")
    assert refused.value.exit_code == 4
    assert production.ledger().slot(MODEL, production.name) == before
    assert deployed(production) == []


def test_of_two_promotions_at_once_one_enters_and_the_other_leaves_its_servers_alone(
    production: MemoryEnvironment, staging: MemoryEnvironment, eve: Actor, gathered: list[Callable[[], object]]
) -> None:
    gathered.append(threading.Barrier(2, timeout=60).wait)  # both have looked at the same revision

    def attempt(version: int) -> Promotion | TowpathError:
        try:
            return bring(production, staging, version, eve)
        except TowpathError as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        came = dict(zip((2, 3), pool.map(attempt, (2, 3)), strict=True))
    (winner,) = (version for version, each in came.items() if isinstance(each, Promotion))
    (lost,) = (each for each in came.values() if isinstance(each, TowpathError))
    assert isinstance(lost, ConflictError)
    assert lost.exit_code == 3
    assert "somebody else was faster" in str(lost)
    assert production.ledger().slot(MODEL, production.name).candidate == winner
    assert deployed(production) == [(Role.CANARY, winner)]
    assert production.memory.deployed[Role.CANARY] == ref(production, winner)


def test_who_finds_somebody_at_work_on_the_slot_loads_nothing(
    production: MemoryEnvironment, staging: MemoryEnvironment, eve: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidate, "_LEASE_WAIT_S", 0.2)
    production.ledger().acquire(f"rollout/{MODEL}/production", "another:1", 600.0)
    with pytest.raises(AlreadyRunningError, match="taxi in production.*another:1.*nothing was changed") as busy:
        bring(production, staging, 3, eve)
    assert busy.value.exit_code == 3
    assert deployed(production) == []


def test_a_promotion_that_slept_through_its_lease_leaves_what_its_successor_prepared(
    production: MemoryEnvironment, staging: MemoryEnvironment, eve: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidate, "LEASE_S", -30.0)  # over at once: the target's 30 s are added
    successor = ref(production, 2)

    def asleep(*_: object) -> bytes:
        production.ledger().acquire(f"rollout/{MODEL}/production", "awake:1", 600.0)
        production.memory.deploy(Role.CANARY, successor)
        return RIGHT

    production.memory.answers = asleep
    with pytest.raises(StaleRevisionError, match="awake:1"):
        bring(production, staging, 3, eve)
    assert production.memory.deployed[Role.CANARY] == successor
    assert production.ledger().slot(MODEL, production.name).candidate is None


def test_the_lease_is_free_again_whatever_came_of_the_promotion(
    production: MemoryEnvironment, staging: MemoryEnvironment, eve: Actor
) -> None:
    production.memory.answers = lambda *_: WRONG
    with pytest.raises(GateRefusedError):
        bring(production, staging, 3, eve)
    production.memory.answers = lambda *_: RIGHT
    assert bring(production, staging, 3, eve).state == "candidate"
