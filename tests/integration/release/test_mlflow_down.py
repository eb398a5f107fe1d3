"""MLflow is away, or takes every connection and says nothing: what moves traffic goes on, and says what is left."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from components.errors import InfrastructureError
from components.release.records import Placement, Slot
from components.types.release import Environment
from pipelines.release import operate
from pipelines.release.actors import Actor
from pipelines.release.apply import split_of
from pipelines.release.environment_config import EnvironmentSection
from pipelines.release.lineage import code_and_lock
from pipelines.release.operate import Operation
from pipelines.release.reconcile import reconcile
from pipelines.release.rounds import follow_all, go_round, look_all, tick_all
from pipelines.release.tick import Ticked, tick
from tests.releases import MODEL, MemoryEnvironment, healthy_report, quick_plan

pytestmark = pytest.mark.slow
"""MLflow is imported: seconds."""

ROOT = Path(__file__).parents[3]
Place = Callable[..., Slot]


@dataclass
class Silent:
    """A server that takes connections and never answers."""

    uri: str
    taken: list[socket.socket] = field(default_factory=list)


@contextmanager
def a_silent_server() -> Iterator[Silent]:
    """Take connections on this machine for the length of the block."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Silent(f"http://127.0.0.1:{listening.getsockname()[1]}")

        def take() -> None:
            with suppress(OSError):
                while True:
                    server.taken.append(listening.accept()[0])

        taker = threading.Thread(target=take, daemon=True)
        taker.start()
        yield server
        listening.shutdown(socket.SHUT_RDWR)
        taker.join()
    for each in server.taken:
        each.close()


@pytest.fixture
def silent() -> Iterator[Silent]:
    """Give a server that never answers."""
    with a_silent_server() as server:
        yield server


@pytest.fixture
def nobody() -> Iterator[str]:
    """Give an address at which every connection is refused, and which nobody else gets meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


def without_mlflow(env: MemoryEnvironment, uri: str, monkeypatch: pytest.MonkeyPatch) -> MemoryEnvironment:
    """Return an environment, with what its target serves, as a process opens it whose MLflow is at an address."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return MemoryEnvironment(env.name, env.section, env.root, env.memory)


def of_name(env: MemoryEnvironment, name: Environment) -> MemoryEnvironment:
    """Return another environment on the same ledger, with servers of its own."""
    after = {Environment.STAGING: Environment.LOCAL, Environment.PRODUCTION: Environment.STAGING}.get(name)
    return MemoryEnvironment(name, EnvironmentSection(after=after, plan="demo"), env.root)


def open_sinks(env: MemoryEnvironment) -> list[str]:
    """Return what has not followed the ledger yet."""
    return [row.sink for row in env.ledger().pending(env.name)]


@pytest.fixture
def canary(env: MemoryEnvironment, place: Place) -> Slot:
    """Return a slot with a canary at 5 % and a way back."""
    place("stable", 1, quick_plan(), stable=1)
    place("stable", 2, quick_plan(), stable=2, previous=1)
    return place("canary:5", 3, quick_plan(), stable=2, previous=1, canary=3, weight=5)


def go_back(env: MemoryEnvironment, actor: Actor) -> Operation:
    return operate.roll_back(env, MODEL, None, actor, "worse")


def stop(env: MemoryEnvironment, actor: Actor) -> Operation:
    return operate.abort(env, MODEL, actor, "no")


def hold(env: MemoryEnvironment, actor: Actor) -> Operation:
    return operate.pause(env, MODEL, actor, "lunch")


@pytest.mark.parametrize(
    ("plan", "after"),
    [
        (go_back, Placement(stable=1, previous=2)),
        (stop, Placement(stable=2, previous=1)),
        (hold, Placement(stable=2, previous=1, canary=3, weight=5, paused=True)),
    ],
)
def test_a_person_stops_a_rollout_and_goes_back_without_mlflow(
    env: MemoryEnvironment,
    canary: Slot,
    eve: Actor,
    nobody: str,
    monkeypatch: pytest.MonkeyPatch,
    plan: Callable[[MemoryEnvironment, Actor], Operation],
    after: Placement,
) -> None:
    env = without_mlflow(env, nobody, monkeypatch)
    done = operate.carry_out(env, plan(env, eve), 60.0)
    slot = env.ledger().slot(MODEL, env.name)
    assert (done.served, slot.placement) == (True, after)
    assert env.memory.traffic() == split_of(slot)
    assert open_sinks(env) == ["aliases"]
    assert any("aliases" in each and nobody in each for each in done.sentences)


def test_a_way_back_needs_no_mlflow_though_nobody_kept_the_lineage(
    env: MemoryEnvironment, canary: Slot, eve: Actor, nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with env.ledger()._database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM evidence WHERE kind = 'lineage'")
    env = without_mlflow(env, nobody, monkeypatch)
    assert operate.carry_out(env, go_back(env, eve), 60.0).served
    event = env.ledger().events(MODEL, env.name)[-1]
    assert (event.version, event.code_digest, event.lock_digest) == (1, "0c0ffee", "1" * 64)


def test_of_a_version_that_was_nowhere_yet_only_mlflow_could_say_what_it_was_made_with(
    env: MemoryEnvironment, nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with env.ledger()._database.writing() as connection:
        connection.exec_driver_sql("UPDATE evidence SET content = '[]' WHERE kind = 'lineage' AND version = 4")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    env = without_mlflow(env, nobody, monkeypatch)
    with pytest.raises(InfrastructureError, match=nobody):
        code_and_lock(env, env.ledger().version(MODEL, 4))


def test_an_alarm_rolls_back_without_mlflow(
    env: MemoryEnvironment, canary: Slot, nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    env.memory.report = healthy_report(canary, weight=0, alarm="server errors")
    env = without_mlflow(env, nobody, monkeypatch)
    looked = tick(env, MODEL)
    assert looked.target == "rolled_back"
    assert any("aliases" in each and nobody in each for each in looked.sentences)
    assert (env.memory.traffic().stable, env.memory.traffic().canary) == (2, None)


def test_the_seconds_of_an_operation_are_those_until_the_traffic_moved(
    env: MemoryEnvironment, canary: Slot, eve: Actor, silent: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = without_mlflow(env, silent.uri, monkeypatch)
    planned, begun = go_back(env, eve), time.monotonic()
    done = operate.carry_out(env, planned, 60.0)
    assert done.served
    assert len(silent.taken) == 1, "asked again although it had not answered"
    assert time.monotonic() - begun - done.seconds > 4.0, "MLflow's time is in it"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "60", "the limit outlived the operation"


def test_what_mlflow_missed_is_written_when_it_is_back(
    env: MemoryEnvironment, canary: Slot, nobody: str, eve: Actor, monkeypatch: pytest.MonkeyPatch, registry_uri: str
) -> None:
    away = without_mlflow(env, nobody, monkeypatch)
    operate.carry_out(away, go_back(away, eve), 60.0)
    back = without_mlflow(env, registry_uri, monkeypatch)
    (looked,) = tick_all(back)
    assert (looked.sentences, open_sinks(back)) == ((), [])
    assert back.registry().read_aliases(MODEL, prefix=back.alias_prefix).champion == 1


def repaired(env: MemoryEnvironment, looked: Sequence[Ticked]) -> Sequence[Ticked]:
    """Follow as the scheduled flow does."""
    assert any(drift.what == "aliases" and drift.problem for drift in reconcile(env))
    return looked


@pytest.mark.parametrize("follow", [follow_all, repaired])
def test_a_round_looks_at_every_environment_before_it_waits_for_mlflow_and_waits_once(
    env: MemoryEnvironment,
    canary: Slot,
    silent: Silent,
    monkeypatch: pytest.MonkeyPatch,
    follow: Callable[[MemoryEnvironment, Sequence[Ticked]], Sequence[Ticked]],
) -> None:
    env.memory.report = healthy_report(canary, weight=0, alarm="server errors")
    environments = {name.value: of_name(env, name) for name in Environment}
    environments["production"] = without_mlflow(env, silent.uri, monkeypatch)
    shutil.copytree(ROOT / "pipelines/configs/environments", env.root / "pipelines/configs/environments")
    for name in ("local", "staging"):
        shutil.copytree(env.store().root, environments[name].store().root)
        place_first(environments[name])
    went: list[str] = []

    def look(name: str) -> Sequence[Ticked]:
        assert silent.taken == [], f"{name} waited for MLflow"
        went.append(f"look {name}")
        return look_all(environments[name])

    def followed(name: str, looked: Sequence[Ticked]) -> Sequence[Ticked]:
        went.append(f"follow {name}")
        return follow(environments[name], looked)

    done = go_round(tuple(environments), look, followed)
    assert went == [f"{what} {name}" for what in ("look", "follow") for name in ("local", "staging", "production")]
    assert [(each.env, each.target) for each in done.looked] == [
        ("local", ""),
        ("staging", ""),
        ("production", "rolled_back"),
    ]
    assert env.memory.traffic().canary is None
    assert done.errors == ()
    assert len(silent.taken) == 1, "asked again although it had not answered"
    for each in environments.values():
        assert open_sinks(each) == ["aliases"] * len(open_sinks(each)) != []
    if follow is follow_all:
        assert all(any("aliases" in said and silent.uri in said for said in each.sentences) for each in done.looked)


def place_first(env: MemoryEnvironment) -> None:
    """Make version 1 stable in an environment in which nothing stood; nothing has followed yet."""
    from pipelines.release.commit import Move, commit

    slot = env.ledger().slot(MODEL, env.name)
    to, plan = Placement(stable=1), env.plan()
    commit(env, slot, Move(version=1, target="stable", to=to, actor="eve", reason="test", plan_digest=plan.digest))
