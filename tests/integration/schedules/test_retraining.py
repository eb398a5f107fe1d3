"""Deciding about a training at a real Prefect server and a real ledger: once for a report, however many ask."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Pending, Running

from components.release.ledger import Ledger
from components.release.local import make_challenger_locally, make_stable_locally
from components.release.records import Digests, RecordedVersion
from components.stage.files import write_json
from components.types.monitoring import MonitoringReport
from components.types.release import Environment
from pipelines.retraining.act import DECISIONS, Decided, act, models_to_decide, would
from pipelines.retraining.history import REPORT, TAG, training_deployment
from pipelines.schedules.deployments import runs_in
from pipelines.watch.reference import MONITORING
from tests.monitoring_reports import report

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
MODEL = "people"
CONFIG = f"""
models:
  {MODEL}:
    data: {{source: {{kind: files, path: rows.csv}}, label: tall}}
    features: {{task: binary}}
    evaluation: {{primary: auc}}
    gates: {{absolute: {{auc: 0.6}}}}
    retraining: {{environment: local}}
trainings:
  {MODEL}-sklearn: {{model: {MODEL}, kind: sklearn, architecture: linear}}
"""


@pytest.fixture
def watched(project, monkeypatch: pytest.MonkeyPatch):
    """Return a project in which version 3 is stable locally, its inputs drifted, and its training is deployed."""
    configs = project.root / "pipelines" / "configs"
    configs.mkdir(parents=True)
    for folder in ("environments", "plans"):
        shutil.copytree(ROOT / "pipelines" / "configs" / folder, configs / folder)
    (configs / f"{MODEL}.yaml").write_text(CONFIG)
    monkeypatch.setenv("TOWPATH_LEDGER_URL", f"sqlite:///{project.root / 'ledger.db'}")
    for version in (3, 4):
        ledger().record_version(RecordedVersion(MODEL, version, f"{version}" * 64, "d" * 64, "onnx", author="ada"))
    make_stable_locally(ledger(), 3, seen=slot(), digests=digests(3), actor="ada", reason="passed")
    see(project, report(environment="local", until=datetime.now(UTC).isoformat()))
    flow = project.client.create_flow_from_name("scheduled-training")
    tags = ["catch-up=none", "resume=never", "absent-after-s=60"]
    project.client.create_deployment(flow, f"training-{MODEL}", parameters={"model": MODEL}, tags=tags)
    return project


def ledger() -> Ledger:
    import os

    return Ledger(os.environ["TOWPATH_LEDGER_URL"])


def slot() -> Any:
    return ledger().slot(MODEL, Environment.LOCAL)


def digests(version: int) -> Digests:
    return Digests(f"{version}" * 64, "d" * 64, "c", "1" * 64, "g" * 64, "e" * 64)


def see(project, found: MonitoringReport) -> MonitoringReport:
    write_json(project.root / MONITORING / "local" / f"{MODEL}.json", found)
    return found


def retrainings(project) -> list[FlowRun]:
    where = training_deployment(project.client, MODEL)
    states = ("SCHEDULED", "PENDING", "RUNNING", "COMPLETED", "FAILED", "CRASHED", "CANCELLED")
    return [run for run in runs_in(project.client, where, *states) if TAG in run.tags]


def test_many_who_ask_at_once_get_one_training_which_carries_its_cause(watched) -> None:
    def once(_: int) -> Decided:
        with temporary_settings({PREFECT_API_URL: watched.url}), get_client(sync_client=True) as client:
            return act(client, MODEL, watched.root)

    with ThreadPoolExecutor(8) as pool:
        decided = list(pool.map(once, range(16)))
    (run,) = retrainings(watched)
    (asked,) = [each for each in decided if each.decision == "retrain"]
    assert asked.flow_run == str(run.id)
    assert all("this report led to run" in each.reason for each in decided if each is not asked)
    assert run.parameters["challenger"] is True
    assert run.parameters["model"] == MODEL
    assert run.parameters["cause"]["towpath.retraining.drifted"] == "city"
    assert run.labels[REPORT] == asked.report
    assert {TAG, "drifted:city", f"report:{asked.report[:12]}"} <= set(run.tags)
    assert json.loads((watched.root / DECISIONS / f"{MODEL}.json").read_text())["model"] == MODEL


def test_a_training_that_goes_on_and_then_its_cool_down_keep_the_next_one_away(watched) -> None:
    act(watched.client, MODEL, watched.root)
    (run,) = retrainings(watched)
    another = see(
        watched, report(environment="local", until=datetime.now(UTC).isoformat(), since="2026-01-01T00:00:00")
    )
    assert f"a training goes on: run {run.name}" in act(watched.client, MODEL, watched.root).reason
    for state in (Pending(), Running()):
        watched.client.set_flow_run_state(run.id, state)
        assert "a training goes on" in act(watched.client, MODEL, watched.root).reason
    watched.client.set_flow_run_state(run.id, Completed())
    held = act(watched.client, MODEL, watched.root)
    assert (held.decision, "and 7d must pass" in held.reason) == ("wait", True)
    see(watched, replace(another, features=(), predictions=()))
    assert act(watched.client, MODEL, watched.root).decision == "nothing"
    assert len(retrainings(watched)) == 1


def test_a_challenger_that_waits_for_a_person_keeps_the_next_one_away(watched) -> None:
    make_challenger_locally(ledger(), 4, seen=slot(), digests=digests(4), actor="ada", reason="drift")
    held = act(watched.client, MODEL, watched.root)
    assert "version 4 is the challenger and waits for a person" in held.reason
    assert not retrainings(watched)


def test_looking_at_what_would_be_decided_changes_nothing(watched) -> None:
    found = would(watched.client, MODEL, watched.root)
    assert (found.decision, found.flow_run) == ("retrain", "")
    assert not retrainings(watched)
    assert not (watched.root / DECISIONS).exists()


def test_a_model_without_a_policy_is_left_alone(watched) -> None:
    path = watched.root / "pipelines" / "configs" / f"{MODEL}.yaml"
    assert models_to_decide(watched.root) == [MODEL]
    path.write_text(CONFIG.replace("    retraining: {environment: local}\n", ""))
    assert models_to_decide(watched.root) == []
    found = act(watched.client, MODEL, watched.root)
    assert (found.decision, "is off" in found.reason) == ("nothing", True)
    assert not retrainings(watched)
