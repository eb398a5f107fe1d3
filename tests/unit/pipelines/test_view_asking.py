"""The table of releases goes by what the servers say, as a tick does; where they say nothing, it says so."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from components.errors import InfrastructureError
from components.release.plan import ReleasePlan
from components.release.records import Placement, RecordedVersion, Slot
from components.release.rollout import Hold
from components.release.targets.memory import MemoryTarget
from components.stage.files import write_json
from components.types.evaluation import Verdict
from components.types.release import Environment, TrafficSplit
from pipelines import gateway
from pipelines.release import view_asking
from pipelines.release.commit import Move, commit, note
from pipelines.release.environment_config import EnvironmentSection
from pipelines.release.lineage import LINEAGE
from pipelines.release.observe import keep_plan
from pipelines.release.tick import foresee
from pipelines.release.view import asked_model_view, model_view
from pipelines.release.view_asking import Asker, without_servers
from pipelines.services.process import Service
from pipelines.state import SERVICES
from tests.releases import MODEL, MemoryEnvironment, healthy_report, quick_plan

CANARY = Slot(model=MODEL, env=Environment.PRODUCTION, rev=2, stable=1, canary=2, weight=5)


class CountedTarget(MemoryTarget):
    """Counts how often it is asked."""

    asked = 0

    def traffic(self) -> TrafficSplit:
        self.asked += 1
        return super().traffic()


def environment(root: Path, name: Environment = Environment.PRODUCTION) -> MemoryEnvironment:
    return MemoryEnvironment(name, EnvironmentSection(plan="demo"), root, CountedTarget(MODEL))


def asked(env: MemoryEnvironment) -> int:
    assert isinstance(env.memory, CountedTarget)
    return env.memory.asked


def serve(env: MemoryEnvironment, slot: Slot) -> None:
    """Let the servers be where the slot is, with a judge that watches."""
    env.memory.route(TrafficSplit(MODEL, slot.rev))
    env.memory.report = healthy_report(slot)


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryEnvironment:
    """Return production with version 2 as canary beside version 1, on a ledger of its own."""
    shutil.copytree(Path(__file__).parents[3] / "pipelines/configs/plans", tmp_path / "pipelines/configs/plans")
    (tmp_path / "pipelines/configs/taxi.yaml").write_text("models: {taxi: {}}\n")
    monkeypatch.setenv("TOWPATH_LEDGER_URL", f"sqlite:///{tmp_path / 'ledger.db'}")
    made = environment(tmp_path)
    plan = quick_plan()
    for number, target, to in ((1, "stable", Placement(stable=1)), (2, "canary:5", CANARY.placement)):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "model.onnx").write_bytes(b"graph %d" % number)
        recorded = RecordedVersion(
            MODEL, number, made.store().put(tmp_path / str(number)), "d" * 64, "onnx", author="ada"
        )
        recorded = made.ledger().record_version(recorded)
        slot = made.ledger().slot(MODEL, made.name)
        note(made, slot, number, recorded.digest, LINEAGE, {"code": "c", "lock": "1" * 64}, "ada")
        keep_plan(made, slot, recorded, "test", plan)
        move = Move(version=number, target=target, to=to, actor="eve", reason="test", plan_digest=plan.digest)
        slot = commit(made, slot, move)
    serve(made, slot)
    return made


def test_the_table_says_what_a_tick_would_do(env: MemoryEnvironment) -> None:
    assert foresee(env, MODEL).target == "canary:50"
    assert "version 2 goes to canary:50 now" in asked_model_view(Asker(env, MODEL)).next_step


def test_figures_that_are_too_small_are_told_once_each(env: MemoryEnvironment) -> None:
    slot = env.ledger().slot(MODEL, env.name)
    report = healthy_report(slot)
    assert report.canary is not None
    env.memory.report = replace(report, canary=replace(report.canary, requests=90, users=90))
    said = asked_model_view(Asker(env, MODEL)).next_step
    assert said.count("canary requests: 90, at least 300 needed") == 1
    env.memory.report = None
    assert asked_model_view(Asker(env, MODEL)).next_step.count("there is no report of the judge") == 1


def test_servers_that_are_down_are_the_one_thing_that_is_missing(env: MemoryEnvironment) -> None:
    env.memory.down = True
    shown = asked_model_view(Asker(env, MODEL))
    assert shown.next_step.startswith("version 2 goes to canary:50 next; missing: the target of taxi is down")
    assert "requests" not in shown.next_step


def test_who_reads_the_ledger_alone_does_not_claim_that_the_judge_said_nothing(env: MemoryEnvironment) -> None:
    said = model_view(env, MODEL).next_step
    assert "no report" not in said
    assert "were not asked here; `towpath explain-release taxi --env production`" in said


def test_servers_are_asked_again_only_after_a_while_or_at_another_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = environment(tmp_path)
    serve(env, CANARY)
    asker = Asker(env, MODEL)
    for _ in range(3):
        seen = asker.about(CANARY, quick_plan())
        assert seen is not None
        assert seen.report == healthy_report(CANARY)
    assert asked(env) == 1
    asker.about(replace(CANARY, rev=3), quick_plan())
    assert asked(env) == 2
    monkeypatch.setattr(view_asking, "ASK_AGAIN_S", 0.0)
    asker.about(CANARY, quick_plan())
    assert asked(env) == 3


def test_servers_that_hang_are_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_asking, "ANSWER_S", 0.05)
    env = environment(tmp_path)
    env.memory.slow_s = 1.0
    seen = Asker(env, MODEL).about(CANARY, quick_plan())
    assert seen is not None
    assert seen.problem.startswith("the servers of production did not answer within 0.05 s; `towpath explain-release")


@pytest.mark.parametrize(
    ("name", "slot"),
    [
        (Environment.LOCAL, replace(CANARY, env=Environment.LOCAL)),
        (Environment.PRODUCTION, replace(CANARY, canary=None, weight=0)),
    ],
)
def test_where_nothing_moves_by_itself_nobody_is_asked(tmp_path: Path, name: Environment, slot: Slot) -> None:
    env = environment(tmp_path, name)
    assert Asker(env, MODEL).about(slot, ReleasePlan()) is None
    assert asked(env) == 0


def test_what_the_ledger_alone_knows_to_be_missing_is_still_told() -> None:
    judge, approvals = Verdict("judge", False, ("no report",)), Verdict("approvals", False, ("0 of 1",))
    told = without_servers(Hold((judge, approvals)), "nobody answers")
    assert isinstance(told, Hold)
    assert told.verdicts == (Verdict("judge", False, ("nobody answers",)), approvals)


def test_who_asks_where_no_gateway_runs_is_told_where_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = environment(tmp_path, Environment.LOCAL)
    monkeypatch.setattr(gateway, "load_environment", lambda *_: local)
    with pytest.raises(InfrastructureError, match=r"--detach`$"):
        gateway.ask(MODEL, tmp_path)
    (tmp_path / SERVICES).mkdir(parents=True)
    for name in ("gateway-staging", "gateway-production"):
        running = Service(name, os.getpid(), psutil.Process().create_time(), "http://127.0.0.1:1", "", "")
        write_json(tmp_path / SERVICES / f"{name}.json", running)
    with pytest.raises(InfrastructureError, match=r"for: staging, production \(`towpath ask taxi --env staging`\)$"):
        gateway.ask(MODEL, tmp_path)
