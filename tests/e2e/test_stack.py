"""Real servers on one machine: up, a run, a release, backed up, wrecked, restored, down with nothing left.

PostgreSQL, MLflow, Prefect, the gateways and Prometheus are real; S3 is moto's server, which the stack says.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.e2e.conftest import Project
from tests.stacks import OWN, free_ports, processes, read, require_stack, services, settings, tree

pytestmark = pytest.mark.slow

MODEL = "breast_cancer"


@pytest.fixture(scope="module")
def stack(make_project: Callable[[str], Project]) -> Iterator[Project]:
    """Return a project whose stack is up; the laptop's own state and DVC configuration were there before."""
    require_stack()
    project = make_project("stack")
    project.write(".towpath/environments/staging/of-the-laptop", "kept")
    project.write(".dvc/config.local", "[core]\n    analytics = false\n")
    free_ports(project)
    project.git("commit", "--quiet", "--all", "--message", "any free port")
    project.towpath("stack", "up")
    yield project
    project.towpath("stack", "down")


@pytest.fixture(scope="module")
def released(stack: Project) -> Project:
    """Return the project with version 1, which is stable in staging."""
    assert stack.json("run", MODEL, "--only", "sklearn")["version"] == 1
    stack.towpath("promote", MODEL, "1", "--to", "staging", "--plan", "demo")
    return stack


def secrets(project: Project) -> list[str]:
    found = settings(project)
    return [*found["passwords"].values(), found["access_key"], found["secret_key"]]


def wreck_databases(project: Project) -> None:
    import psycopg2

    port = urlsplit(services(project)["postgresql"]["url"]).port
    for name in ("ledger", "mlflow", "prefect"):
        login = {"host": "127.0.0.1", "port": port, "dbname": name, "user": "towpath"}
        connection = psycopg2.connect(**login, password=settings(project)["passwords"]["towpath"])
        connection.autocommit = True
        with connection.cursor() as cursor:
            others = (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
            )
            cursor.execute(others, (name,))
            cursor.execute("DROP SCHEMA public CASCADE")
        connection.close()


def fetched_digest(project: Project, version: int, into: Path) -> str:
    """Return the digest of a version's product as MLflow hands it out now."""
    from components.registry.registry import Registry
    from components.tracking.connection import connect

    registry = Registry(connect(services(project)["mlflow"]["url"]))
    return registry.fetch_product(MODEL, version, into).digest


def test_every_server_is_healthy_and_on_loopback_only(stack: Project) -> None:
    found = services(stack)
    assert set(found) == OWN | {"gateway-staging", "gateway-production"}
    assert all(each["healthy"] for each in found.values())
    for each in found.values():
        listening = set()
        for process in tree(each["pid"]):
            with contextlib.suppress(psutil.NoSuchProcess):  # a connection's own process comes and goes
                connections = process.net_connections("inet")
                listening |= {c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN}
        assert listening == {"127.0.0.1"}, each["name"]


def test_starting_again_changes_nothing(stack: Project) -> None:
    before = {name: each["pid"] for name, each in services(stack).items()}
    stack.towpath("stack", "up")
    assert {name: each["pid"] for name, each in services(stack).items()} == before


def test_no_credential_stands_in_a_log_a_command_line_or_an_open_file(released: Project) -> None:
    hidden = secrets(released)
    for each in released.json("stack", "status"):
        words = []
        for process in tree(each["pid"]):
            with contextlib.suppress(psutil.NoSuchProcess):
                words += process.cmdline()
        assert words
        assert not any(secret in word for secret in hidden for word in words), each["name"]
    for path in (released.root / ".towpath/services").iterdir():
        assert not any(secret in path.read_text(errors="replace") for secret in hidden), path
    for path in (".towpath/stack/settings.json", ".towpath/stack/environment.json", ".dvc/config.local"):
        assert (released.root / path).stat().st_mode & 0o077 == 0, path
    tracked = released.git("ls-files", "-co", "--exclude-standard")
    assert ".towpath" not in tracked
    assert "config.local" not in tracked


def test_a_run_is_kept_in_postgresql_and_s3(released: Project) -> None:
    import psycopg2

    found = services(released)
    login = {"host": "127.0.0.1", "port": urlsplit(found["postgresql"]["url"]).port, "user": "mlflow"}
    connection = psycopg2.connect(**login, dbname="mlflow", password=settings(released)["passwords"]["mlflow"])
    with connection.cursor() as cursor:
        cursor.execute("SELECT version FROM model_versions WHERE name = %s", (MODEL,))
        assert cursor.fetchall() == [(1,)]
    connection.close()
    with urllib.request.urlopen(f"{found['s3']['url']}/towpath-mlflow?list-type=2") as response:
        assert b"model.onnx" in response.read()
    assert not (released.root / ".towpath/mlflow.db").exists()
    assert not (released.root / ".towpath/ledger.db").exists()


def test_data_travel_through_s3(released: Project) -> None:
    shutil.rmtree(released.root / ".dvc/cache")
    shutil.rmtree(released.root / f"out/{MODEL}")
    released.dvc("pull", f"prepare@{MODEL}")
    assert list((released.root / f"out/{MODEL}").rglob("*.parquet"))
    released.dvc("push")


def test_prometheus_scrapes_the_gateways_and_loads_the_rules(released: Project) -> None:
    url = services(released)["prometheus"]["url"]
    targets = read(f"{url}/api/v1/targets")["data"]["activeTargets"]
    environments = {each["labels"].get("environment") for each in targets if each["labels"]["job"] == "gateway"}
    assert environments == {"staging", "production"}
    groups = read(f"{url}/api/v1/rules")["data"]["groups"]
    assert {Path(each["file"]).name for each in groups} == {
        path.name for path in (released.root / "infra/prometheus/rules").glob("*.yml")
    }


def test_the_environment_is_printed_for_other_programs(stack: Project) -> None:
    lines = stack.towpath("stack", "env").stdout
    command = f'{lines}\nprintf "%s" "$MLFLOW_TRACKING_URI"'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout == services(stack)["mlflow"]["url"]


def test_a_variable_that_points_elsewhere_is_a_conflict(stack: Project) -> None:
    command = stack.command("stack", "up")
    environment = {**stack.environment, "MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}
    done = subprocess.run(command, cwd=stack.root, env=environment, capture_output=True, text=True)
    assert done.returncode == 3
    assert "MLFLOW_TRACKING_URI" in done.stderr


def test_what_the_machine_lacks_is_one_sentence(stack: Project) -> None:
    environment = {**stack.environment, "PATH": "/nowhere"}
    done = subprocess.run(stack.command("stack", "up"), cwd=stack.root, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "apt-get install prometheus" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_wrecked_stack_is_restored_to_the_same_heads_versions_and_digests(released: Project, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    versions = released.json("compare", MODEL)
    ledger, digest = released.json("ledger", "verify"), fetched_digest(released, 1, tmp_path / "before")
    flow_runs = flow_run_ids(released)
    assert flow_runs
    assert released.json("backup", str(backup), "--dry-run") is None
    assert not backup.exists()
    released.towpath("backup", str(backup))
    released.towpath("backup", str(backup), code=3)

    wreck_databases(released)
    urllib.request.urlopen(urllib.request.Request(f"{services(released)['s3']['url']}/moto-api/reset", method="POST"))
    shutil.rmtree(released.root / ".dvc/cache")
    shutil.rmtree(released.root / f"out/{MODEL}")
    released.towpath("restore", str(backup), "--dry-run")
    released.towpath("restore", str(backup))

    assert all(each["healthy"] for each in services(released).values())
    assert released.json("ledger", "verify") == ledger
    assert released.json("compare", MODEL) == versions
    assert fetched_digest(released, 1, tmp_path / "after") == digest
    assert flow_run_ids(released) >= flow_runs
    released.dvc("pull", f"prepare@{MODEL}")  # verified: the remote has `verify = true`
    assert released.json("ask", MODEL, "--env", "staging")["version"] == 1

    dump = backup / "ledger.dump"
    dump.write_bytes(dump.read_bytes() + b"x")
    assert "ledger.dump" in released.towpath("restore", str(backup), code=2).stderr
    dump.unlink()
    assert "missing" in released.towpath("restore", str(backup), code=2).stderr
    assert released.json("ledger", "verify") == ledger


def flow_run_ids(project: Project) -> set[str]:
    return {each["id"] for each in read(f"{services(project)['prefect']['url']}/api/flow_runs/filter", {})}


@pytest.mark.skipif(os.environ.get("TOWPATH_FULL") != "1", reason="takes the stack down and up; set TOWPATH_FULL=1")
def test_what_is_kept_comes_back_and_what_is_not_leaves_nothing(released: Project, tmp_path: Path) -> None:
    ledger, digest = released.json("ledger", "verify"), fetched_digest(released, 1, tmp_path / "before")
    released.towpath("stack", "down", "--keep")
    assert (released.root / ".towpath/environments/staging/of-the-laptop").is_file()
    assert released.json("ledger", "verify") == []  # the laptop's own
    (released.root / ".towpath/ledger.db").unlink()
    released.towpath("stack", "up")
    assert released.json("ledger", "verify") == ledger
    assert fetched_digest(released, 1, tmp_path / "after") == digest

    found, database = services(released), Path(settings(released)["database_folder"])
    running = processes(released)
    released.towpath("stack", "down")
    assert not [process for process in running if process.is_running()]
    for each in found.values():
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", urlsplit(each["url"]).port)) != 0, each["name"]
    assert not database.exists()
    assert not (released.root / ".towpath/stack").exists()
    assert not [name for name in os.listdir(released.root / ".towpath/services") if "stack" in name]
    assert (released.root / ".dvc/config.local").read_text() == "[core]\n    analytics = false\n"
    assert (released.root / ".towpath/environments/staging/of-the-laptop").read_text() == "kept"
    assert "not up" in released.towpath("stack", "env", code=2).stderr
