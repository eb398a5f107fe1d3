"""What a schedule's tags may say, and whose process a flow run is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
import yaml
from prefect.client.schemas.objects import FlowRun

from components.errors import ConfigError
from pipelines.schedules.notices import SECRET_VARIABLE, URL_VARIABLE, Notice, tell
from pipelines.schedules.policy import CatchUp, Policy, Resume, read_policy
from pipelines.schedules.presence import CREATED, PID, PLACE, Presence, here, presence

GOOD = ["catch-up=none", "resume=once", "absent-after-s=60"]
ROOT = Path(__file__).parents[3]


def test_every_schedule_that_is_shipped_has_a_policy() -> None:
    for each in yaml.safe_load((ROOT / "infra" / "prefect.yaml").read_text())["deployments"]:
        assert read_policy(each["name"], each["tags"])


def test_tags_are_read_and_those_of_others_are_nobodys() -> None:
    assert read_policy("x", GOOD) == Policy(CatchUp.NONE, Resume.ONCE, 60.0)
    assert read_policy("x", ["a-tag", "another"]) is None


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        (["catchup=none", *GOOD[1:]], "`catchup=` .did you mean `catch-up`"),
        (GOOD[:2], "lacks the tag `absent-after-s=…`"),
        (["catch-up=all", *GOOD[1:]], "'all' is not a valid CatchUp"),
        ([*GOOD[:2], "absent-after-s=0"], "a time above 0"),
        ([*GOOD[:2], "absent-after-s=nan"], "a time above 0"),
    ],
)
def test_a_tag_that_cannot_be_is_refused(tags: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_policy("x", tags)


def run(labels: dict[str, object], pid: str | None = None) -> FlowRun:
    return FlowRun(id=uuid4(), flow_id=uuid4(), labels=labels, infrastructure_pid=pid)


def test_a_process_is_known_by_its_number_and_its_birth() -> None:
    born = psutil.Process().create_time()
    mine = {PLACE: here(), PID: os.getpid(), CREATED: born}
    assert presence(run(mine)) is Presence.ALIVE
    assert presence(run({**mine, CREATED: born - 60})) is Presence.DEAD, "the number was given to another process"
    assert presence(run({**mine, PLACE: "another machine"})) is Presence.ELSEWHERE
    assert presence(run({})) is Presence.ELSEWHERE


def test_a_process_that_only_the_worker_knows_is_known_by_its_run() -> None:
    flow_run = run({})
    environment = {**os.environ, "PREFECT__FLOW_RUN_ID": str(flow_run.id)}
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env=environment) as process:
        flow_run.infrastructure_pid = str(process.pid)
        assert presence(flow_run) is Presence.ALIVE
        assert presence(run({}, str(process.pid))) is Presence.ELSEWHERE, "another run's process"
        process.kill()
        process.wait()
    assert presence(flow_run) is Presence.ELSEWHERE


def test_notices_without_a_secret_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL_VARIABLE, "https://example.org/notices")
    monkeypatch.delenv(SECRET_VARIABLE, raising=False)
    with pytest.raises(ConfigError, match="are signed with it"):
        tell([Notice("k", "failed", "x", "s")], tmp_path)
