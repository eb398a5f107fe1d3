"""A drifted day, from `stack up` to `stack down`: trained, released, drifted, trained again, released, nothing left.

One story on one stack, told in order by its tests. PostgreSQL, MLflow, Prefect, its worker and watchdog, the gateways
and Prometheus are real; S3 is moto's server. The drift is made: three inputs are moved by two standard deviations.
"""

from __future__ import annotations

import csv
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pipelines.demo.traffic import Traffic
from pipelines.release.client import Client
from pipelines.release.requests import RequestRow
from tests.e2e.conftest import Project
from tests.stacks import OWN, free_ports, processes, read, require_stack, services, settings
from tests.waiting import until

pytestmark = pytest.mark.slow

MODEL = "breast_cancer"
ROWS = "shop/tumours.csv"
A_DAY = 400
MOVED = {"smoothness_error": 0.006, "symmetry_error": 0.016, "fractal_dimension_error": 0.005}
CONFIG = f"""\
models:
  {MODEL}:
    data: {{source: {{kind: files, path: {ROWS}}}, label: diagnosis}}
    features: {{task: binary}}
    evaluation: {{primary: auc}}
    gates: {{absolute: {{auc: 0.9}}}}
    retraining: {{cool_down: 1d, budget: 3}}
trainings:
  {MODEL}-sklearn: {{model: {MODEL}, kind: sklearn, architecture: linear}}
"""
Row = dict[str, Any]


@pytest.fixture(scope="module")
def table() -> list[Row]:
    """Return the rows of the first day, labelled."""
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer()
    names = [name.replace(" ", "_") for name in found.feature_names]
    rows = zip(found.data.tolist(), found.target.tolist(), strict=True)
    return [{**dict(zip(names, row, strict=True)), "diagnosis": found.target_names[label]} for row, label in rows]


@pytest.fixture(scope="module")
def drifted(table: list[Row]) -> list[Row]:
    """Return the rows of the drifted day, labelled."""
    return [{**row, **{name: row[name] + by for name, by in MOVED.items()}} for row in table[:A_DAY]]


@pytest.fixture(scope="module")
def stack(make_project: Callable[[str], Project], table: list[Row]) -> Iterator[Project]:
    """Return a project with one small model, whose stack is up."""
    require_stack()
    project = make_project("drifted")
    project.write(f"pipelines/configs/{MODEL}.yaml", CONFIG)
    write_rows(project, table)
    free_ports(project)
    path = "pipelines/configs/environments/production.yaml"
    project.write(path, (project.root / path).read_text().replace("port: 0", "port: 0, log_file_s: 3"))
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "one small model, and its first rows")
    said = project.towpath("stack", "up").stderr
    assert "all paused: `towpath schedule resume --all`" in said
    yield project
    project.towpath("stack", "down")


def write_rows(project: Project, rows: list[Row]) -> None:
    (project.root / ROWS).parent.mkdir(exist_ok=True)
    with (project.root / ROWS).open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def prefect(project: Project, path: str, body: Any = None) -> Any:
    return read(f"{services(project)['prefect']['url']}/api/{path}", body)


def finished(project: Project, flow_run_id: str, timeout_s: float = 180) -> Any:
    """Wait for a flow run's end, and return it."""
    url = f"{services(project)['prefect']['url']}/api/flow_runs/{flow_run_id}"
    ends = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
    return until(lambda: run if (run := read(url))["state_type"] in ends else None, f"run {flow_run_id}", timeout_s)


def scheduled(project: Project, name: str, at: datetime | None = None) -> Any:
    """Run a schedule through the worker, and return its run."""
    when = () if at is None else ("--at", at.isoformat())
    run = finished(project, project.json("schedule", "trigger", name, *when)["flow_run_id"])
    assert run["state_type"] == "COMPLETED", run["state"]["message"]
    return run


def requests(rows: list[Row]) -> list[RequestRow]:
    """Return rows as a client would send them."""
    import json

    names = [name for name in rows[0] if name != "diagnosis"]
    return [
        RequestRow(
            json.dumps(
                {"inputs": [{"name": n, "shape": [1], "datatype": "FP64", "data": [row[n]]} for n in names]}
            ).encode(),
            row["diagnosis"],
        )
        for row in rows
    ]


def replay(project: Project, rows: list[Row]) -> None:
    """Send a day's rows to production, each answered by a version."""
    with Client(services(project)["gateway-production"]["url"]) as client:
        replies = [client.infer(f"/v2/models/{MODEL}/infer", each.body) for each in requests(rows)]
    assert all(reply.valid for reply in replies)


def standing(project: Project) -> dict[str, Any]:
    return {each["env"]: each for each in project.json("releases", MODEL)}


def release(project: Project, version: int, env: str) -> None:
    plan = ("--plan", "demo") if env == "production" else ()
    project.towpath("promote", MODEL, str(version), "--to", env, *plan, "--follow")
    assert standing(project)[env]["stable"] == version


def looked(project: Project, rows: int) -> Any:
    """Let the scheduled look see so many rows of production, and return its report."""

    def report() -> Any:
        found = project.json("monitor", MODEL, "--env", "production", code=(0, 4))["report"]
        return found if sum(each["rows"] for each in found["traffic"]) >= rows else None

    return until(report, f"{rows} rows can be read; a file of the log is closed after `log_file_s`", 60)


def test_the_stack_is_ready_with_its_schedules_listed_and_paused(stack: Project) -> None:
    found = services(stack)
    assert set(found) == OWN | {"gateway-staging", "gateway-production"}
    assert all(each["healthy"] for each in found.values())
    listed = {each["name"]: each for each in stack.json("schedule", "list")}
    assert {f"training-{MODEL}", "monitoring", "retraining", "rollouts", "clean-up"} <= set(listed)
    assert not any(each["active"] for each in listed.values())


@pytest.fixture(scope="module")
def first(stack: Project) -> Project:
    """Return the project once version 1, trained by its schedule, is in production."""
    scheduled(stack, f"training-{MODEL}")
    assert standing(stack)["local"]["stable"] == 1
    for env in ("staging", "production"):
        release(stack, 1, env)
    return stack


def test_the_scheduled_tick_works_as_deployed_and_a_normal_day_asks_for_no_training(
    first: Project, table: list[Row]
) -> None:
    replay(first, table[-A_DAY:])
    before = first.json("ledger", "verify")
    at = datetime.now(UTC).replace(second=0, microsecond=0)
    for minutes in (2, 1):
        scheduled(first, "rollouts", at - timedelta(minutes=minutes))
    assert first.json("ledger", "verify") == before, "with nothing on its way nothing moves"
    looked(first, A_DAY)
    decided = first.json("retraining", MODEL)
    assert decided["decision"] == "nothing", decided
    assert "no alarm that counts" in decided["reason"]


@pytest.fixture(scope="module")
def retrained(first: Project, table: list[Row], drifted: list[Row]) -> Project:
    """Return the project after the drifted day, and the training that it led to."""
    replay(first, drifted)
    write_rows(first, [*table, *drifted])
    first.git("commit", "--quiet", "--all", "--message", "the drifted day's rows, labelled")
    looked(first, 2 * A_DAY)
    scheduled(first, "monitoring")
    scheduled(first, "retraining")
    (run,) = retrainings(first)
    assert finished(first, run["id"])["state_type"] == "COMPLETED"
    return first


def retrainings(project: Project) -> list[Any]:
    asked = {"flow_runs": {"tags": {"all_": ["retraining"]}}}
    return list(prefect(project, "flow_runs/filter", asked))


def test_the_drift_is_reported_and_leads_to_one_training_which_says_why(retrained: Project) -> None:
    report = read_json(retrained, f".towpath/monitoring/production/{MODEL}.json")
    alarms = {each["column"] for each in report["features"] if each["status"] == "alarm"}
    assert set(MOVED) <= alarms
    (run,) = retrainings(retrained)
    assert {f"drifted:{name}" for name in MOVED} <= set(run["tags"])
    decided = read_json(retrained, f".towpath/retraining/{MODEL}.json")
    assert decided["flow_run"] == run["id"]
    assert run["labels"]["towpath.report"] == decided["report"]
    record = read_json(retrained, f".towpath/schedules/runs/{run['id']}.json")
    assert record["cause"]["towpath.retraining"] == decided["report"]
    assert set(MOVED) <= set(record["cause"]["towpath.retraining.drifted"].split(","))


def test_the_same_report_and_the_cool_down_keep_a_second_training_away(retrained: Project) -> None:
    again = retrained.json("retraining", MODEL)
    assert (again["decision"], again["flow_run"]) == ("wait", "")
    assert "this report led to run" in again["reason"]
    looked(retrained, 2 * A_DAY)  # another report of the same drift
    held = retrained.json("retraining", MODEL, "--dry-run")
    assert held["decision"] == "wait"
    assert "version 2 is the challenger and waits for a person" in held["reason"]
    assert len(retrainings(retrained)) == 1


def test_it_ended_as_a_challenger_and_nothing_moved_by_itself(retrained: Project) -> None:
    from components.registry.registry import Registry
    from components.tracking.connection import connect

    stands = standing(retrained)
    assert {env: (each["stable"], each["candidate"]) for env, each in stands.items()} == {
        "local": (1, 2),
        "staging": (1, None),
        "production": (1, None),
    }
    registry = Registry(connect(services(retrained)["mlflow"]["url"]))
    aliases = registry.read_aliases(MODEL, prefix="")
    assert (aliases.champion, aliases.challenger) == (1, 2)
    assert registry.read_aliases(MODEL, prefix="production-").champion == 1
    gates = retrained.json("explain-release", MODEL, "--env", "local")
    assert "towpath promote breast_cancer 2 --to local" in gates["view"]["next_step"]
    refused = retrained.towpath("promote", MODEL, "2", "--to", "staging", code=2)
    assert "still candidate in local" in refused.stderr


def test_a_person_releases_it_while_the_scheduled_tick_looks_on(
    retrained: Project, table: list[Row], drifted: list[Row]
) -> None:
    retrained.towpath("promote", MODEL, "2", "--to", "local", "--dry-run")
    assert standing(retrained)["local"]["stable"] == 1
    retrained.towpath("promote", MODEL, "2", "--to", "local")
    release(retrained, 2, "staging")
    users = Traffic(services(retrained)["gateway-production"]["url"], MODEL, requests([*drifted, *table]), 100)
    with users.running():
        retrained.towpath("promote", MODEL, "2", "--to", "production", "--plan", "demo")
        scheduled(retrained, "rollouts")

        def is_stable() -> bool:
            retrained.towpath("tick")
            return bool(standing(retrained)["production"]["stable"] == 2)

        until(is_stable, "version 2 is stable in production", 120)
    assert users.seen.failed == 0, users.seen.failures
    assert users.seen.by_version["2"]
    held = retrained.json("retraining", MODEL, "--dry-run")
    assert held["decision"] != "retrain", "what drifted was version 1's"


def test_nothing_is_left(retrained: Project) -> None:
    running, found = processes(retrained), services(retrained)
    database = Path(settings(retrained)["database_folder"])
    before = threading.active_count()
    retrained.towpath("stack", "down")
    assert threading.active_count() == before
    assert not [each for each in running if each.is_running()]
    for each in found.values():
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", urlsplit(each["url"]).port)) != 0, each["name"]
    assert not database.exists()
    assert not (retrained.root / ".towpath/stack").exists()
    assert not [each.name for each in (retrained.root / ".towpath/services").iterdir() if "stack" in each.name]


def read_json(project: Project, path: str) -> Any:
    import json

    return json.loads((project.root / path).read_text())
