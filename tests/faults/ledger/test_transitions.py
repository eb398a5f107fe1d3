"""A tick, or a person's operation, killed at each of its steps: whoever ticks next brings everything to agreement.

The router file is read by servers that follow it at once; ledger and MLflow are real, each in a SQLite file.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import event
from sqlalchemy.engine import Engine

from components.release import tables
from components.release.ledger import Ledger
from components.release.plan import ReleasePlan
from components.release.projection import aliases
from components.release.protocol import DeploymentTarget
from components.release.records import Placement, RecordedVersion, Slot
from components.release.router import RouterFile
from components.release.targets.following import FollowingTarget, Server
from components.types.judging import Health, JudgeReport, WorkerStatus
from components.types.release import Environment, JudgeSettings, Role
from pipelines.release import operate
from pipelines.release.actors import Actor
from pipelines.release.apply import apply_outbox, split_of
from pipelines.release.commit import Move, commit, note
from pipelines.release.environment_config import EnvironmentSection, Right
from pipelines.release.environments import EnvironmentConfig
from pipelines.release.lineage import LINEAGE
from pipelines.release.observe import keep_plan
from pipelines.release.sinks import sinks_of
from pipelines.release.tick import tick
from tests.releases import MODEL, healthy_report, quick_plan

PLANS = Path("pipelines") / "configs" / "plans"
DONE, TRANSACTION = 0, "transaction in"
SOME = 4
"""Unless all are wanted, one of so many transactions, and of MLflow's alone: the ledger's die in other tests."""
EVE = Actor("eve", "production", frozenset(Right), verified=True)


@dataclass
class AtOnce:
    """Servers that have always just followed the router file."""

    router: RouterFile
    word: JudgeReport | None = None

    def living(self) -> Sequence[Server]:
        route = self.router.route_of(MODEL)
        loaded = tuple(sorted(placed.ref.version for placed in route.loaded.values()))
        status = WorkerStatus(
            worker=0, pid=1, alive_s=0.0, revs={MODEL: route.split.rev}, loaded={MODEL: loaded}, problems={}
        )
        return [Server("worker 0", status)]

    def report(self, model: str) -> JudgeReport | None:
        assert model == MODEL
        return self.word

    def health(self, model: str, role: Role, window_s: float) -> Health | None:
        return None

    def remind(self) -> None:
        pass


@dataclass(frozen=True)
class FileEnvironment(EnvironmentConfig):
    """An environment of which only the servers are missing."""

    servers: AtOnce = field(default_factory=lambda: AtOnce(RouterFile(Path("nowhere"))))

    def target(self, model: str, plan: ReleasePlan | None = None) -> DeploymentTarget:
        return FollowingTarget(model, self.servers.router, self.servers, self.place, JudgeSettings(), 1.0, 0.01)


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileEnvironment]:
    """Return production with a canary at 5 % beside a stable version, and bring it back to that with `begin_anew`."""
    root = tmp_path_factory.mktemp("transitions") / "production"
    shutil.copytree(Path(__file__).parents[3] / PLANS, root / PLANS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")  # no child uses its parent's connections
        patch.setenv("TOWPATH_LEDGER_URL", f"sqlite:///{root / 'ledger.db'}")
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root / 'mlflow.db'}")
        section = EnvironmentSection(after=Environment.STAGING, plan="demo")
        made = FileEnvironment(Environment.PRODUCTION, section, root, AtOnce(RouterFile(root / "router.json")))
        _register(made)
        _place(made, "stable", Placement(stable=1))
        _place(made, "canary:5", Placement(stable=1, canary=2, weight=5))
        made.servers.word = healthy_report(require_agreement(made))
        root.rename(root.with_name("template"))
        yield made


def begin_anew(env: FileEnvironment) -> None:
    shutil.rmtree(env.root, ignore_errors=True)
    shutil.copytree(env.root.with_name("template"), env.root)


def _register(env: FileEnvironment) -> None:
    from mlflow import MlflowClient

    client = MlflowClient()
    client.create_registered_model(MODEL)
    for number in (1, 2):
        client.create_model_version(MODEL, str(env.root))
        product = env.root.parent / f"product-{number}"
        product.mkdir()
        (product / "model.onnx").write_bytes(b"graph %d" % number)
        digest = env.store().put(product)
        env.ledger().record_version(RecordedVersion(MODEL, number, digest, "d" * 64, "onnx", author="ada"))
        slot, lineage = Slot(model=MODEL, env=env.name, rev=0), {"code": "0c0ffee", "lock": "1" * 64}
        note(env, slot, number, digest, LINEAGE, lineage, "ada")


def _place(env: FileEnvironment, target: str, placement: Placement) -> None:
    slot, plan, version = env.ledger().slot(MODEL, env.name), quick_plan(), placement.canary or placement.stable
    assert version is not None
    keep_plan(env, slot, env.ledger().version(MODEL, version), "test", plan)
    move = Move(version=version, target=target, to=placement, actor="eve", reason="test", plan_digest=plan.digest)
    commit(env, slot, move)
    apply_outbox(env, MODEL)


def require_agreement(env: FileEnvironment) -> Slot:
    """Check that ledger, router file and aliases say the same, and that nothing is open; return the slot."""
    ledger = env.ledger()
    assert ledger.verify(MODEL, env.name).intact
    slot = ledger.slot(MODEL, env.name)
    assert ledger.replayed(MODEL, env.name) == slot
    assert not ledger.pending(env.name)
    route, wanted = env.servers.router.route_of(MODEL), aliases(slot)
    assert route.split == split_of(slot)
    assert set(route.loaded) == {str(version) for version in slot.versions}
    found = env.registry().read_aliases(MODEL, prefix=env.alias_prefix)
    assert (found.champion, found.challenger, found.rev) == (wanted.champion, wanted.challenger, wanted.rev)
    return slot


class Steps:
    """Watch what a process changes, step by step, and kill it at one of them."""

    def __init__(self, at: int | None, told: int) -> None:
        self._left, self._told = at, told

    def watch(self) -> None:
        """Hear, in this process, of every transaction and of what happens to the ledger's outbox."""
        event.listen(Engine, "commit", lambda connection: self.reach(f"{TRANSACTION} {_file(connection)}"))
        for name in ("commit", "applied"):
            self._wrap(name, getattr(Ledger, name))

    def _wrap(self, name: str, method: Callable[..., Any]) -> None:
        def wrapped(ledger: Ledger, subject: Any, **arguments: Any) -> Any:
            which = f"{name} {getattr(subject, 'sink', '')}".strip()
            self.reach(f"before {which}")
            result = method(ledger, subject, **arguments)
            self.reach(f"after {which}")
            return result

        setattr(Ledger, name, wrapped)

    def reach(self, step: str) -> None:
        os.write(self._told, f"{step}\n".encode())
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                os.kill(os.getpid(), signal.SIGKILL)


def _file(connection: Any) -> str:
    return Path(connection.engine.url.database).name


def start(
    env: FileEnvironment, act: Callable[[FileEnvironment], None], at: int | None, fork: Any
) -> tuple[int, list[str]]:
    """Do something in a process that dies at a step; return the process and the steps that it came to."""
    heard, told = os.pipe()

    def body() -> int:
        Steps(at, told).watch()
        act(env)
        return DONE

    child: int = fork(body)
    os.close(told)
    with os.fdopen(heard) as steps:
        return child, steps.read().splitlines()


def advance(env: FileEnvironment) -> None:
    assert tick(env, MODEL).target == "canary:50"


def abort(env: FileEnvironment) -> None:
    operate.carry_out(env, operate.abort(env, MODEL, EVE, "a test"), 1.0)


def let_leases_end(env: FileEnvironment) -> None:
    """Do what time would: whoever died cannot give its lease back."""
    with sqlalchemy.create_engine(env.ledger_url, poolclass=sqlalchemy.NullPool).begin() as connection:
        connection.execute(tables.lease.update().values(expires_at="2020-01-01T00:00:00.000000+00:00"))


@pytest.mark.parametrize("act", [advance, abort])
def test_whoever_ticks_after_a_death_at_any_step_brings_ledger_router_and_aliases_to_agreement(
    env: FileEnvironment, act: Callable[[FileEnvironment], None], fork: Any, exit_code: Any, full: bool
) -> None:
    begin_anew(env)
    before = require_agreement(env)
    env.servers.word = healthy_report(before) if act is advance else None
    goal = replace(before.placement, weight=50) if act is advance else Placement(stable=1)

    def run(at: int | None) -> tuple[int, list[str]]:
        begin_anew(env)
        child, steps = start(env, act, at, fork)
        return exit_code(child), steps

    code, steps = run(None)
    assert code == DONE
    assert require_agreement(env).placement == goal
    require_all_boundaries(env, steps)
    for at, step in enumerate(steps):
        if not full and step.startswith(TRANSACTION) and (at % SOME or not step.endswith("mlflow.db")):
            continue
        assert run(at) == (-signal.SIGKILL, steps[: at + 1])
        let_leases_end(env)
        tick(env, MODEL)
        is_decided = act is advance or "after commit" in steps[: at + 1]  # a tick decides anew what was not committed
        assert require_agreement(env).placement == (goal if is_decided else before.placement), f"killed at `{step}`"


def require_all_boundaries(env: FileEnvironment, steps: Sequence[str]) -> None:
    """Check that a process may be killed between any two of the things that a transition changes."""
    applied = [f"{when} applied {sink}" for sink in sinks_of(env) for when in ("before", "after")]
    named = [step for step in steps if not step.startswith(TRANSACTION)]
    assert named == ["before commit", "after commit", *applied]
    aliases_begin, aliases_end = steps.index("after applied router"), steps.index("before applied aliases")
    written = [step for step in steps[aliases_begin:aliases_end] if step.endswith("mlflow.db")]
    assert len(written) > 2, "each alias and each tag is a transaction of its own"
