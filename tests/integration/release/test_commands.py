"""The commands of a release by their own command line: what each takes, what a dry run leaves alone, what is said."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
import typer
from typer.core import TyperCommand, TyperGroup
from typer.testing import CliRunner, Result

from components.errors import TowpathError
from components.release.records import Approval, Placement, Slot
from components.types.release import Environment, ModelRoute
from pipelines.cli import ledger, operations, promotion, releases, upkeep
from pipelines.cli.main import app
from pipelines.release.apply import split_of
from pipelines.release.commit import Move, commit, note
from pipelines.release.environment_config import EnvironmentSection
from pipelines.release.lineage import LINEAGE
from pipelines.release.observe import keep_plan
from tests.releases import MODEL, MemoryEnvironment, quick_plan

pytestmark = pytest.mark.slow
"""MLflow is imported: seconds."""

ROOT = Path(__file__).parents[3]
PROMOTE = ("promote", MODEL, "4", "--to", "production")
Place = Callable[..., Slot]

SHOWING = {"releases", "explain-release", "ledger verify", "ledger show", "ledger export"}
"""Commands that change nothing; every other one has a dry run."""
BEFORE = {"resume": "pause", "promote": "abort"}
"""What must be done before a command has something to do in `project`."""
ONLY_JSON = {"ledger export"}
"""What it writes is JSON, asked or not."""


def commands_of_releases() -> Iterator[tuple[str, TyperCommand]]:
    """Yield every command about releases, by its name."""
    alone = typer.Typer()
    for group in (promotion, operations, releases, upkeep, ledger):
        group.add_commands(alone)
    found = typer.main.get_command(alone)
    assert isinstance(found, TyperGroup)
    for name, command in found.commands.items():
        inner = {f"{name} {each}": of for each, of in getattr(command, "commands", {}).items()}
        for each, of in (inner or {name: command}).items():
            assert isinstance(of, TyperCommand)
            yield each, of


@pytest.fixture
def project(env: MemoryEnvironment, place: Place, monkeypatch: pytest.MonkeyPatch) -> MemoryEnvironment:
    """Return production with a canary, in a folder in which the command line finds its configuration."""
    shutil.copytree(ROOT / "pipelines" / "configs" / "environments", env.root / "pipelines/configs/environments")
    monkeypatch.chdir(env.root)
    place("stable", 1, quick_plan(), stable=1)
    place("stable", 2, quick_plan(), stable=2, previous=1)
    slot = place("canary:50", 3, quick_plan(), stable=2, previous=1, canary=3, weight=50)
    placed = {str(number): env.place(env.ledger().version(MODEL, number).ref) for number in split_of(slot).versions}
    env.router().renew({MODEL: ModelRoute(split_of(slot), placed, quick_plan().judge_settings)})
    return env


def towpath(*arguments: str) -> Result:
    """Run a command in this process; an error of ours is its exit code and the last line that it says."""
    done = CliRunner().invoke(app, arguments)
    if isinstance(done.exception, TowpathError):
        done.exit_code = done.exception.exit_code
        done.stderr_bytes = (done.stderr + f"\ntowpath: {done.exception}").encode()
    elif done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def ledger_rows(env: MemoryEnvironment) -> dict[str, list[Any]]:
    """Return everything that the ledger holds."""
    tables = ("version", "slot", "event", "evidence", "approval", "outbox")
    with closing(sqlite3.connect(env.root / "ledger.db")) as connection:
        return {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables}


def edit(env: MemoryEnvironment, statement: str) -> None:
    """Change a row of the ledger behind its back."""
    with closing(sqlite3.connect(env.root / "ledger.db")) as connection, connection:
        assert connection.execute(statement).rowcount > 0


def stand_in_staging(env: MemoryEnvironment, version: int) -> None:
    """Make a version stable in staging, from where it may be promoted to production."""
    staging = MemoryEnvironment(
        Environment.STAGING, EnvironmentSection(after=Environment.LOCAL, plan="staging"), env.root
    )
    recorded, slot = env.ledger().version(MODEL, version), env.ledger().slot(MODEL, staging.name)
    note(staging, slot, version, recorded.digest, LINEAGE, {"code": "0c0ffee", "lock": "1" * 64}, "ada")
    plan, to = quick_plan(), Placement(stable=version)
    keep_plan(staging, slot, recorded, "test", plan)
    commit(
        staging,
        slot,
        Move(version=version, target="stable", to=to, actor="eve", reason="test", plan_digest=plan.digest),
    )


@contextmanager
def running(root: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command that stays, and interrupt it as a person does."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", *arguments],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    watchdog = Timer(60, process.kill)
    watchdog.start()
    try:
        yield process
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


def test_every_command_takes_json_and_every_one_that_changes_something_a_dry_run() -> None:
    commands = dict(commands_of_releases())
    options = {name: {each for p in command.params for each in p.opts} for name, command in commands.items()}
    assert commands.keys() >= SHOWING | {"promote", "approve", "reject", "rollback", "kill", "tick", "reconcile"}
    assert [name for name, has in options.items() if "--json" not in has and name not in ONLY_JSON] == []
    assert [name for name, has in options.items() if ("--dry-run" in has) == (name in SHOWING)] == []


@pytest.mark.parametrize(
    "command",
    [
        ("approve", MODEL),
        ("reject", MODEL),
        ("reject", MODEL, "3"),
        ("reject", MODEL, "3", "--quarantine"),
        ("pause", MODEL),
        ("resume", MODEL),
        ("abort", MODEL),
        ("rollback", MODEL),
        ("kill", MODEL),
        ("tick", "--env", "production"),
        ("reconcile", "--env", "production"),
        PROMOTE,
    ],
    ids=" ".join,
)
def test_a_dry_run_changes_no_row_and_no_file(project: MemoryEnvironment, command: tuple[str, ...]) -> None:
    def files() -> dict[str, float]:
        folder = project.router_path.parent
        return {str(each): each.stat().st_mtime_ns for each in folder.rglob("*") if each.suffix != ".lock"}

    stand_in_staging(project, 4)
    if command[0] in BEFORE:
        assert towpath(BEFORE[command[0]], MODEL, "--wait", "0").exit_code == 0
    before = ledger_rows(project), files()
    done = towpath(*command, "--dry-run", "--json")
    # no gateway runs: what compares with it says so, and that is all
    assert done.exit_code == 0 or (command[0] == "reconcile" and "could not be asked" in done.stdout), done.output
    json.loads(done.stdout)
    assert (ledger_rows(project), files()) == before


def test_the_same_without_a_dry_run_rejects_the_step(project: MemoryEnvironment) -> None:
    done = towpath("reject", MODEL, "-m", "no", "--json")
    assert done.exit_code == 0, done.output
    assert "the user of this machine" in done.stderr
    (row,) = project.ledger().approvals(MODEL, project.name)
    assert isinstance(row, Approval)
    assert (row.decision.value, row.version, row.target) == ("reject", 3, "stable")


def test_an_approval_is_said_to_expire_and_a_rejection_is_not(
    project: MemoryEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOWPATH_ACTOR", "joan")
    said = towpath("approve", MODEL).stderr.splitlines()[-1]
    (given,) = project.ledger().approvals(MODEL, project.name)
    assert said == f"joan: approve stable of version 3, until {given.expires_at}"
    monkeypatch.setenv("TOWPATH_ACTOR", "hedy")
    said = towpath("reject", MODEL).stderr.splitlines()[-1]
    assert said == "hedy: reject stable of version 3, until the slot moves on"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("reject", MODEL, "--quarantine"), "name it: `towpath reject taxi VERSION`"),
        (("reject", MODEL, "--wait", "1"), "about a version"),
        (("reject", MODEL, "3", "--rev", "1"), "at every revision"),
        (("serve", "--json"), "leave out --json, or --detach"),
        (("tick", "--every", "-1"), "--every"),
        (("tick", "--every", "1", "--env", "prod"), "production"),
    ],
)
def test_what_would_be_ignored_is_refused(project: MemoryEnvironment, arguments: tuple[str, ...], words: str) -> None:
    before = ledger_rows(project)
    done = towpath(*arguments)
    assert done.exit_code == 2
    assert words in done.stderr
    assert ledger_rows(project) == before


@pytest.mark.parametrize(
    ("before", "arguments", "words"),
    [
        (("reject", MODEL, "4", "--wait", "0"), PROMOTE, "is rejected and may not be released"),
        (("reject", MODEL, "4", "--quarantine", "--wait", "0"), PROMOTE, "is quarantined and may not be released"),
        ((), ("approve", MODEL), "ada is the author of version 3 of taxi and may not approve it"),
    ],
    ids=["rejected", "quarantined", "one's own"],
)
def test_what_nobody_may_do_is_refused_in_a_sentence_and_moves_nothing(
    project: MemoryEnvironment,
    monkeypatch: pytest.MonkeyPatch,
    before: tuple[str, ...],
    arguments: tuple[str, ...],
    words: str,
) -> None:
    for version in (4, 1):  # so that 4 was stable there, and is not any more
        stand_in_staging(project, version)
    if before:
        assert towpath(*before).exit_code == 0
    monkeypatch.setenv("TOWPATH_ACTOR", "ada")
    rows = ledger_rows(project)
    done = towpath(*arguments)
    assert done.exit_code == 4
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("towpath: ")
    assert words in last
    assert ledger_rows(project) == rows


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ("demo", "follow plan demo, which is laxer than the defaults in entry, shadow, canary, ramp, bake, approvals"),
        ("default", "follow plan default"),
    ],
)
def test_promoting_names_the_plan_and_says_aloud_where_it_is_lax(
    project: MemoryEnvironment, plan: str, said: str
) -> None:
    stand_in_staging(project, 4)
    assert towpath("abort", MODEL, "--wait", "0").exit_code == 0
    done = towpath(*PROMOTE, "--plan", plan, "--dry-run")
    assert done.exit_code == 0, done.output
    assert f"  1. {said}" in done.stderr.splitlines()


def test_promoting_without_shadow_and_canary_says_so(project: MemoryEnvironment) -> None:
    stand_in_staging(project, 4)
    assert towpath("abort", MODEL, "--wait", "0").exit_code == 0
    done = towpath(*PROMOTE, "--plan", "staging", "--dry-run")
    assert "no shadow: users are the first to meet the version" in done.stderr
    assert "no canary: all users meet the version at once" in done.stderr


def test_an_approval_is_for_the_step_that_was_shown(project: MemoryEnvironment) -> None:
    done = towpath("approve", MODEL, "--rev", "1")
    assert done.exit_code == 3
    assert "it moved on since you looked" in done.stderr
    assert project.ledger().approvals(MODEL, project.name) == ()


@pytest.mark.parametrize("table", ["slot", "event"])
def test_an_audit_finds_a_slot_or_a_history_that_was_deleted(project: MemoryEnvironment, table: str) -> None:
    assert towpath("ledger", "verify").exit_code == 0
    edit(project, f"DELETE FROM {table} WHERE model = '{MODEL}'")
    done = towpath("ledger", "verify")
    assert done.exit_code == 1
    assert "0 of 1 chains are intact" in done.stderr


def test_an_audit_finds_another_author_in_a_versions_row(project: MemoryEnvironment) -> None:
    edit(project, "UPDATE version SET author = 'eve' WHERE version = 3")
    done = towpath("ledger", "verify", MODEL)
    assert done.exit_code == 1
    assert "version 3 was edited" in done.stdout


def test_an_audit_says_that_there_is_nothing_to_verify(env: MemoryEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "pipelines" / "configs" / "environments", env.root / "pipelines/configs/environments")
    monkeypatch.chdir(env.root)
    done = towpath("ledger", "verify")
    assert done.exit_code == 0
    assert "there is no chain to verify" in done.stderr


def test_ticking_goes_on_after_a_hiccup_until_it_is_interrupted(project: MemoryEnvironment) -> None:
    graph = project.store().path(project.ledger().version(MODEL, 3).digest) / "model.onnx"
    graph.chmod(0o644)
    graph.write_bytes(b"other bytes")
    broken, kept = project.root / "ledger.db", project.root / "kept.db"
    with closing(sqlite3.connect(broken)) as source, closing(sqlite3.connect(kept)) as copy:
        source.backup(copy)
    for name in ("ledger.db-wal", "ledger.db-shm"):
        (project.root / name).unlink(missing_ok=True)
    broken.write_bytes(b"no database at all\n" * 100)
    with running(project.root, "tick", "--every", "0.2", "--env", "production", "--json") as process:
        assert process.stderr is not None
        assert process.stdout is not None
        assert "ledger" in process.stderr.readline()
        assert "ledger" in process.stderr.readline()
        kept.replace(broken)
        (looked,) = json.loads(process.stdout.readline())
    assert (looked["action"], looked["model"]) == ("roll_back", MODEL)


def test_an_environment_whose_ledger_is_gone_keeps_no_other_from_its_look(
    project: MemoryEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.root / "broken.db").write_bytes(b"no database at all\n" * 100)
    monkeypatch.setenv("TOWPATH_STAGING_LEDGER_URL", f"sqlite:///{project.root / 'broken.db'}")
    done = towpath("tick", "--json")
    assert done.exit_code == 1
    assert "broken.db" in done.stderr
    assert [(each["env"], each["action"]) for each in json.loads(done.stdout)] == [("production", "hold")]


def test_watching_as_json_gives_one_line_for_each_change(project: MemoryEnvironment) -> None:
    with running(project.root, "releases", MODEL, "--watch", "--json") as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        assert [(each["env"], each["canary"]) for each in first if each["rev"]] == [("production", 3)]
        assert towpath("pause", MODEL, "--wait", "0").exit_code == 0
        second = json.loads(process.stdout.readline())
        assert [each["paused"] for each in second if each["rev"]] == [True]
