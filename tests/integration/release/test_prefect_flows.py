"""An approval that waits in a real Prefect: by its form, or by a command meanwhile."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.release.plan import ReleasePlan
from components.release.records import Decision, Placement, RecordedVersion
from pipelines.release.actors import TOKEN_VARIABLE, who
from pipelines.release.approvals import speak
from pipelines.release.commit import Move, commit, note
from pipelines.release.environments import EnvironmentConfig, load_environment
from pipelines.release.lineage import LINEAGE
from pipelines.release.observe import keep_plan
from pipelines.services.local import prefect_api
from pipelines.state import quiet
from tests.releases import MODEL

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
TOKENS = {"eve": "eve-holds-this-token", "ada": "ada-holds-this-token"}


@pytest.fixture(scope="module")
def prefect_url(tmp_path_factory: pytest.TempPathFactory, prefect_home: Path) -> Iterator[str]:
    """Give the address of a Prefect server of our own."""
    folder = tmp_path_factory.mktemp("prefect")
    shutil.copytree(prefect_home, folder / ".towpath" / "prefect")
    with prefect_api(folder) as url:
        yield url


@pytest.fixture
def production(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EnvironmentConfig:
    """Return production with two actors, and a version of ada's at its last canary step, waiting for one approval."""
    configs = tmp_path / "pipelines" / "configs"
    shutil.copytree(ROOT / "pipelines" / "configs" / "plans", configs / "plans")
    (configs / "environments").mkdir()
    actors = {
        name: {"token_sha256": hashlib.sha256(token.encode()).hexdigest(), "may": ["promote", "approve"]}
        for name, token in TOKENS.items()
    }
    content = {"environment": {"after": "staging", "plan": "default", "actors": actors}}
    (configs / "environments" / "production.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.setenv("TOWPATH_LEDGER_URL", f"sqlite:///{tmp_path / 'ledger.db'}")
    env = load_environment("production", tmp_path)
    plan = ReleasePlan.model_validate({"canary": [{"weight": 50}]})
    for number in (1, 2):
        recorded = RecordedVersion(MODEL, number, f"{number}" * 64, "d" * 64, "onnx", author="ada")
        env.ledger().record_version(recorded)
        slot = env.ledger().slot(MODEL, env.name)
        note(env, slot, number, recorded.digest, LINEAGE, {"code": "c", "lock": "1" * 64}, "ada")
        keep_plan(env, slot, recorded, "test", plan)
    for version, target, to in ((1, "stable", Placement(stable=1)), (2, "canary:50", _CANARY)):
        slot = env.ledger().slot(MODEL, env.name)
        commit(env, slot, Move(version=version, target=target, to=to, actor="eve", reason="r", plan_digest=plan.digest))
    return env


_CANARY = Placement(stable=1, canary=2, weight=50)


def start_waiting(root: Path, prefect_url: str, *options: str) -> subprocess.Popen[str]:
    """Have Prefect asked by the command, which waits."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", "ask-approval", MODEL, "--env", "production", *options],
        cwd=root,
        env=environment_of_a_flow(root, prefect_url),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def environment_of_a_flow(root: Path, prefect_url: str) -> dict[str, str]:
    """Return the variables of a process in which a flow runs."""
    environment = {**os.environ, "PREFECT_API_URL": prefect_url, "PREFECT_HOME": str(root / "prefect")}
    environment["PYTHONPATH"] = str(ROOT)
    quiet(environment)
    return environment


def ask(url: str, body: dict[str, Any]) -> Any:
    """Send a request to Prefect's API."""
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        text = response.read()
    return json.loads(text) if text else None


def paused_run(prefect_url: str, process: subprocess.Popen[str]) -> str:
    """Return the flow run that waits."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        wanted = {"flow_runs": {"state": {"type": {"any_": ["PAUSED"]}}}}
        if found := ask(f"{prefect_url}/flow_runs/filter", wanted):
            return str(found[0]["id"])
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.2)
    process.kill()
    raise AssertionError(process.communicate()[0])


def finished(process: subprocess.Popen[str]) -> str:
    """Return what the flow printed."""
    try:
        said, _ = process.communicate(timeout=240)
    finally:
        process.kill()
    return said


def fill_in(prefect_url: str, run: str, **form: str) -> None:
    """Fill in the form, as a person does on Prefect's page."""
    ask(f"{prefect_url}/flow_runs/{run}/resume", {"run_input": form})


def test_a_form_carries_its_token_to_the_ledger_and_the_token_is_forgotten(
    production: EnvironmentConfig, prefect_url: str
) -> None:
    process = start_waiting(production.root, prefect_url)
    run = paused_run(prefect_url, process)
    fill_in(prefect_url, run, decision="approve", token=TOKENS["eve"], reason="seen")
    said = finished(process)
    assert process.returncode == 0, said
    (row,) = production.ledger().approvals(MODEL, production.name)
    assert (row.actor, row.decision, row.target, row.reason) == ("eve", Decision.APPROVE, "stable", "seen")
    left = ask(f"{prefect_url}/flow_runs/{run}/input/filter", {"prefix": ""})
    assert TOKENS["eve"] not in json.dumps(left)
    assert TOKENS["eve"] not in said


@pytest.mark.parametrize(
    ("token", "words"),
    [(TOKENS["ada"], "author"), ("somebody-elses", "none of production's actors"), ("", "put yours into the form")],
)
def test_the_author_a_stranger_and_nobody_are_refused_in_the_form_too_whatever_token_the_flow_has(
    production: EnvironmentConfig, prefect_url: str, token: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, TOKENS["eve"])
    process = start_waiting(production.root, prefect_url)
    run = paused_run(prefect_url, process)
    fill_in(prefect_url, run, decision="approve", token=token, reason="mine")
    said = finished(process)
    assert process.returncode != 0
    assert words in said
    assert production.ledger().approvals(MODEL, production.name) == ()


def test_a_refusal_in_the_form_stands_in_the_ledger_and_ends_the_command_with_4(
    production: EnvironmentConfig, prefect_url: str
) -> None:
    process = start_waiting(production.root, prefect_url)
    run = paused_run(prefect_url, process)
    fill_in(prefect_url, run, decision="reject", token=TOKENS["eve"], reason="too slow")
    said = finished(process)
    assert process.returncode == 4
    assert said.splitlines()[-1] == "towpath: eve: reject stable of version 2: too slow"
    (row,) = production.ledger().approvals(MODEL, production.name)
    assert (row.actor, row.decision) == ("eve", Decision.REJECT)


def test_a_form_that_nobody_fills_in_ends_the_command_with_4(production: EnvironmentConfig, prefect_url: str) -> None:
    process = start_waiting(production.root, prefect_url, "--hours", "0.001")
    said = finished(process)
    assert process.returncode == 4
    assert "nobody filled in the form within 0.001 h; version 2 of taxi waits on" in said.splitlines()[-1]
    assert production.ledger().approvals(MODEL, production.name) == ()


def test_an_approval_by_command_ends_the_waiting_in_prefect(production: EnvironmentConfig, prefect_url: str) -> None:
    process = start_waiting(production.root, prefect_url)
    paused_run(prefect_url, process)
    eve = who(production, TOKENS["eve"])
    speak(production, MODEL, eve, Decision.APPROVE, "by command", None)
    said = finished(process)
    assert process.returncode == 0, said
    assert "it was decided elsewhere; `towpath explain-release taxi --env production` says how" in said
    assert len(production.ledger().approvals(MODEL, production.name)) == 1


ROUND = """
import json
from pipelines.schedules.rollouts import scheduled_rollouts
print(json.dumps([(each.env, each.action, each.sentences) for each in scheduled_rollouts()]))
"""


def test_the_round_of_every_minute_ends_in_time_without_mlflow_and_says_what_does_not_follow(
    production: EnvironmentConfig, prefect_url: str
) -> None:
    configs = production.root / "pipelines" / "configs" / "environments"
    for name in ("local", "staging"):
        shutil.copy(ROOT / "pipelines" / "configs" / "environments" / f"{name}.yaml", configs)
        env = load_environment(name, production.root)
        move = Move(version=1, target="stable", to=Placement(stable=1), actor="eve", reason="r", plan_digest="p" * 64)
        commit(env, env.ledger().slot(MODEL, env.name), move)
    with socket.socket() as nobody:  # bound, so that nobody else answers there
        nobody.bind(("127.0.0.1", 0))
        environment = environment_of_a_flow(production.root, prefect_url)
        environment["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-c", ROUND],
            cwd=production.root,
            env=environment,
            text=True,
            capture_output=True,
            timeout=300,
        )
    assert done.returncode == 0, done.stderr
    looked = json.loads(done.stdout.strip().splitlines()[-1])
    assert [env for env, _, _ in looked] == ["local", "staging", "production"]
    for env, action, sentences in looked:
        assert action in ("settled", "hold")
        assert any("aliases" in each and environment["MLFLOW_TRACKING_URI"] in each for each in sentences), env
    warned = {each["message"] for each in ask(f"{prefect_url}/logs/filter", {"logs": {"level": {"ge_": 30}}})}
    for env in ("local", "staging", "production"):
        assert any(each.startswith(f"aliases of {MODEL} in {env}:") for each in warned), warned
