"""The release engineer's page, by its own commands: staging, production, bad input, going back, an audit."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Project

pytestmark = pytest.mark.slow

MODEL = "breast_cancer"


@pytest.fixture(scope="module")
def registered(served_project: Project) -> Project:
    """Return a project with version 1 stable in the local environment, and nothing beyond; gateways running."""
    project = served_project
    ports = {"staging": "port: 8081", "production": "port: 8082"}
    for name, port in ports.items():
        path = f"pipelines/configs/environments/{name}.yaml"
        project.write(path, (project.root / path).read_text().replace(port, "port: 0"))
    project.git("commit", "--quiet", "--all", "--message", "any free port")
    project.towpath("run", MODEL, "--only", "lightning")  # sklearn makes the next version
    for name in ports:
        project.towpath("serve", "--env", name, "--detach")
    return project


@pytest.fixture(scope="module")
def staged(registered: Project) -> Project:
    """Return the same project with version 1 stable in staging as well."""
    registered.towpath(*promote("staging"))
    return registered


@pytest.fixture(scope="module")
def released(staged: Project) -> Project:
    """Return the same project with version 1 stable in production as well."""
    staged.towpath(*promote("production"))
    return staged


def promote(env: str) -> tuple[str, ...]:
    """Return the command that brings version 1 into an environment."""
    return "promote", MODEL, "1", "--to", env, "--plan", "demo"


def slot(project: Project, env: str) -> dict[str, Any]:
    """Return one environment's line of `towpath releases`."""
    return next(each for each in project.json("releases", MODEL) if each["env"] == env)


def ledger_bytes(project: Project) -> list[Any]:
    """Return every row of the ledger that says where something stands."""
    with closing(sqlite3.connect(project.root / ".towpath" / "ledger.db")) as connection:
        return [
            connection.execute(f"SELECT * FROM {table}").fetchall()
            for table in ("version", "slot", "event", "approval")
        ]


def whole_ledger(project: Project) -> dict[str, list[Any]]:
    """Return every row of every table of the ledger."""
    with closing(sqlite3.connect(project.root / ".towpath" / "ledger.db")) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables}


def say_what_promoting_would_do(project: Project, source: str, env: str) -> None:
    """Check that a dry run of a promotion that would succeed names its steps and changes nothing."""
    before = whole_ledger(project)
    said = project.towpath(*promote(env), "--dry-run").stderr.splitlines()
    assert whole_ledger(project) == before
    (recorded,) = (each for each in slot(project, source)["versions"] if each["version"] == 1)
    heading = said.index(f"promoting version 1 of {MODEL} to {env} (revision 0) will:")
    *steps, last = said[heading + 1 :]
    assert last == "nothing was changed"
    expected = (
        "follow plan demo, which is laxer than the defaults in entry, shadow, canary, ramp, bake, approvals",
        f"copy product {recorded['digest'][:12]} from {source} to {env} and check its digest",
        "must answer 20 real rows, p95 at most 200 ms; replay 100 rows against the offline prediction",
        "version 1 as candidate",
        f"nothing is stable in {env} yet: there is nothing to compare with: no shadow, no canary",
        "stable without anybody's approval: the plan asks for none",
    )
    for number, (step, words) in enumerate(zip(steps, expected, strict=True), 1):
        assert step.startswith(f"  {number}. ")
        assert words in step


# these two come first: what they foresee, the fixtures of the others do
def test_a_dry_run_says_what_promoting_to_staging_would_do_and_moves_nothing(registered: Project) -> None:
    say_what_promoting_would_do(registered, "local", "staging")


def test_a_dry_run_says_what_promoting_to_production_would_do_and_moves_nothing(staged: Project) -> None:
    say_what_promoting_would_do(staged, "staging", "production")


def test_a_first_version_is_stable_in_both_environments_and_answers(released: Project) -> None:
    assert slot(released, "staging")["stable"] == 1
    assert slot(released, "production")["stable"] == 1
    for env in ("staging", "production"):
        answer = released.json("ask", MODEL, "--env", env)
        assert answer["version"] == 1
        assert answer["outputs"]["prediction"][0] in ("benign", "malignant")


def test_aliases_follow_each_environment(released: Project) -> None:
    from components.registry.registry import Registry
    from components.tracking.connection import connect

    registry = Registry(connect(f"sqlite:///{released.root / '.towpath' / 'mlflow.db'}"))
    for prefix in ("", "staging-", "production-"):
        assert registry.read_aliases(MODEL, prefix=prefix).champion == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("promote", "breast_cancr", "1", "--to", "staging"), 2, "breast_cancr"),
        (("promote", MODEL, "99", "--to", "staging"), 2, "99"),
        (("promote", MODEL, "1", "--to", "stagging"), 2, "did you mean `staging`"),
        (("promote", MODEL, "1", "--to", "local"), 2, "local"),
        (("promote", MODEL, "1", "--to", "production"), 3, "stable in production already"),
        (("promote", MODEL, "1", "--to", "staging", "--plan", "dmo"), 3, "already"),
        (("approve", MODEL), 3, "nothing of breast_cancer is on its way"),
        (("pause", MODEL), 3, "nothing of breast_cancer is on its way"),
        (("abort", MODEL), 3, "nothing of breast_cancer is on its way"),
        (("rollback", MODEL), 3, "no version stood before"),
        (("rollback", MODEL, "--to", "7"), 2, "no version 7"),
        (("reject", MODEL, "1"), 3, "stable in"),
        (("kill", MODEL), 3, "has no canary"),
        (("kill", "breast_cancr"), 2, "breast_cancer"),
        (("releases", "breast_cancr"), 2, "did you mean `breast_cancer`"),
        (("explain-release", MODEL, "--env", "prod"), 2, "production"),
        (("ledger", "show", "nobody"), 2, "nobody"),
        (("ledger", "verify", "--head", "/nowhere.json"), 2, "/nowhere.json"),
    ],
)
def test_bad_input_gets_one_sentence_its_exit_code_and_moves_nothing(
    released: Project, arguments: tuple[str, ...], code: int, words: str
) -> None:
    before = ledger_bytes(released)
    done = released.towpath(*arguments, code=code)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("towpath: ")
    assert words in last
    assert ledger_bytes(released) == before


def test_a_version_of_a_dirty_tree_is_refused_for_staging(released: Project) -> None:
    released.write("notes.txt", "not committed\n")
    released.towpath("run", MODEL, "--only", "sklearn")
    version = max(each["version"] for each in released.json("compare", MODEL)["versions"])
    before = slot(released, "staging")
    done = released.towpath("promote", MODEL, str(version), "--to", "staging", "--plan", "demo", code=4)
    assert "uncommitted changes" in done.stderr
    assert slot(released, "staging") == before
    done = released.towpath("promote", MODEL, str(version), "--to", "production", "--plan", "demo", code=2)
    assert "no environment may be skipped" in done.stderr


def test_changed_bytes_are_refused_before_anything_moves(released: Project, tmp_path: Path) -> None:
    versions = {each["version"]: each for each in released.json("compare", MODEL)["versions"]}
    newest = max(versions)
    view = next(each for each in slot(released, "local")["versions"] if each["version"] == newest)
    graph = released.root / ".towpath" / "store" / view["digest"] / "model.onnx"
    kept = tmp_path / "model.onnx"
    shutil.copy(graph, kept)
    graph.chmod(0o644)
    flipped = bytearray(graph.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    graph.write_bytes(flipped)
    before = ledger_bytes(released)
    try:
        done = released.towpath("promote", MODEL, str(newest), "--to", "staging", "--plan", "demo", code=1)
    finally:
        graph.write_bytes(kept.read_bytes())
    assert "digest" in done.stderr
    assert ledger_bytes(released) == before


def test_an_audit_finds_what_was_edited_and_an_export_what_was_cut_off(released: Project) -> None:
    verified = released.json("ledger", "verify")
    assert all(not each["findings"] for each in verified)
    exported = released.root / "head.json"
    released.towpath("ledger", "export", "--output", str(exported))
    assert len(json.loads(exported.read_text())["chains"]) == 3
    ledger = released.root / ".towpath" / "ledger.db"
    kept = ledger.read_bytes()
    try:
        with closing(sqlite3.connect(ledger)) as connection, connection:
            connection.execute("UPDATE event SET actor = 'nobody' WHERE env = 'production' AND rev = 1")
        done = released.towpath("ledger", "verify", code=1)
        assert "event 1 was edited" in done.stdout
        with closing(sqlite3.connect(ledger)) as connection, connection:
            connection.execute("DELETE FROM event WHERE env = 'production'")
            connection.execute("DELETE FROM slot WHERE env = 'production'")
        released.towpath("ledger", "verify", "--env", "production", "--head", str(exported), code=1)
    finally:
        for name in ("ledger.db-wal", "ledger.db-shm"):
            (released.root / ".towpath" / name).unlink(missing_ok=True)
        ledger.write_bytes(kept)
    assert all(not each["findings"] for each in released.json("ledger", "verify"))


def test_a_gateway_that_is_down_refuses_a_promotion_before_the_long_work(released: Project) -> None:
    released.towpath("down")
    newest = max(each["version"] for each in released.json("compare", MODEL)["versions"])
    before = ledger_bytes(released)
    done = released.towpath("promote", MODEL, str(newest), "--to", "staging", "--plan", "demo", code=1)
    assert "towpath serve --detach --env staging" in done.stderr
    assert ledger_bytes(released) == before
