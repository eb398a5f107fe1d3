"""The router file where something is wrong: a kill switch, a lock, a disk, many writers, a later program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import pytest
from filelock import FileLock

from components.errors import BadInputError, FaultError, InfrastructureError, StaleRevisionError
from components.release import router as router_module
from components.release.router import RouterFile
from components.stage.files import write_json
from components.types.kill_switch import Killed
from components.types.release import Role, TrafficSplit
from tests.routes import JUDGE, placed, stand


@pytest.fixture
def router(tmp_path: Path) -> RouterFile:
    return RouterFile(tmp_path / "gateway" / "router.json")


def test_the_kill_switch_holds_for_all_revisions_up_to_its_own_and_only_grows(router: RouterFile) -> None:
    assert router.killed("taxi") is None
    router.kill("taxi", 4)
    router.kill("taxi", 3)
    assert router.killed("taxi") == Killed(4)
    assert (router.path.parent / "kill" / "taxi").read_text() == "4\n"
    router.kill("taxi", 9)
    assert router.killed("taxi") == Killed(9)
    assert router.killed("adult") is None


def test_a_version_that_was_killed_stays_so_at_every_revision_also_when_another_one_is(router: RouterFile) -> None:
    router.kill("taxi", 10, [4])
    router.kill("taxi", 3, [7])
    killed = router.killed("taxi")
    assert killed == Killed(10, frozenset({4, 7}))
    assert (router.path.parent / "kill" / "taxi").read_text() == "10 4 7\n"
    assert killed.holds(10, [5])
    assert killed.holds(99, [4])
    assert not killed.holds(11, [5])
    assert not killed.holds(11, [])


def test_the_kill_switch_needs_no_snapshot_and_no_whole_one(router: RouterFile) -> None:
    router.path.parent.mkdir()
    router.path.write_text("{")
    router.kill("taxi", 4)
    assert router.killed("taxi") == Killed(4)


@pytest.mark.parametrize("text", ["", "soon", "4, 5", "-4"])
def test_a_kill_switch_that_cannot_be_read_kills_every_revision_and_goes_on_to(router: RouterFile, text: str) -> None:
    router.kill("taxi", 1)
    (router.path.parent / "kill" / "taxi").write_text(text)
    for _ in range(2):
        killed = router.killed("taxi")
        assert killed is not None
        assert killed.holds(10**9, [5])
        router.kill("taxi", 2, [4])


@pytest.mark.parametrize("name", ["../taxi", "", "a/b", ".taxi", "taxi\n"])
def test_no_name_leads_out_of_the_folder(router: RouterFile, name: str) -> None:
    with pytest.raises(BadInputError, match="no model name"):
        router.kill(name, 1)
    with pytest.raises(BadInputError, match="no model name"):
        router.load(name, placed(1, name), Role.STABLE)


def test_a_lock_that_is_held_too_long_is_an_infrastructure_error(
    router: RouterFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand(router, TrafficSplit("taxi", rev=1, stable=1))
    monkeypatch.setattr(router_module, "_LOCK_WAIT_S", 0.05)
    with FileLock(router.path.parent / ".router.json.lock"), pytest.raises(InfrastructureError, match="try again"):
        router.route(TrafficSplit("taxi", rev=2, stable=1), JUDGE)


def test_a_folder_that_cannot_be_made_is_an_infrastructure_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InfrastructureError, match="cannot be written"):
        RouterFile(tmp_path / "file" / "router.json").kill("taxi", 1)


def test_a_full_disk_leaves_the_snapshot_that_was_there(router: RouterFile) -> None:
    stand(router, TrafficSplit("taxi", rev=1, stable=1))
    text = router.path.read_text()
    code = """
import resource, signal, sys
from pathlib import Path
from components.errors import InfrastructureError
from components.release.router import RouterFile
from components.types.release import JudgeSettings, TrafficSplit
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
try:
    RouterFile(Path(sys.argv[1])).route(TrafficSplit("taxi", rev=2, stable=1), JudgeSettings())
except InfrastructureError as error:
    print(error)
"""
    told = subprocess.run(
        [sys.executable, "-c", code, str(router.path)], capture_output=True, text=True, check=True, timeout=240
    )
    assert "cannot be written: File too large" in told.stdout
    assert router.path.read_text() == text
    assert sorted(path.name for path in router.path.parent.iterdir()) == [".router.json.lock", "router.json"]


def test_concurrent_writers_lose_nothing_and_readers_see_whole_snapshots(router: RouterFile) -> None:
    names = [f"model_{number}" for number in range(4)]
    done, torn = threading.Event(), []

    def watch() -> None:
        while not done.is_set():
            try:
                router.read()
            except FaultError as error:
                torn.append(error)

    watcher = threading.Thread(target=watch)
    context = get_context("fork")
    writers = [context.Process(target=_write_revisions, args=(router.path, name, 12)) for name in names for _ in "ab"]
    for writer in writers:
        writer.start()
    watcher.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    done.set()
    watcher.join()
    assert torn == []
    assert {name: router.route_of(name).split.rev for name in names} == dict.fromkeys(names, 12)


def _write_revisions(path: Path, name: str, revisions: int) -> None:
    router = RouterFile(path)
    for rev in range(1, revisions + 1):
        with suppress(StaleRevisionError):
            stand(router, TrafficSplit(name, rev=rev, stable=1))
    os._exit(0)


def test_a_snapshot_with_a_field_of_a_later_program_is_refused_not_cut(router: RouterFile) -> None:
    write_json(router.path, {"sequence": 3, "models": {}, "later": True})
    with pytest.raises(FaultError, match="unknown field 'later'"):
        stand(router, TrafficSplit("taxi", rev=1, stable=1))
    assert json.loads(router.path.read_text())["later"] is True


def test_the_router_imports_nothing_heavy() -> None:
    code = (
        "import sys; import components.release.router; "
        "heavy = {'sqlalchemy', 'mlflow', 'numpy', 'pandas', 'polars', 'pyarrow', 'pydantic', 'alembic', 'onnx'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=240)
    assert told.stdout.strip() == "[]"
