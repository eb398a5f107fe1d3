"""The router file: one writer at a time, every model fenced by its own revision, whole at every moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest
from filelock import FileLock

from components.errors import (
    BadInputError,
    ConflictError,
    DigestMismatchError,
    FaultError,
    InfrastructureError,
    StaleRevisionError,
)
from components.release import router as router_module
from components.release.router import RouterFile
from components.stage.files import write_json
from components.types import record
from components.types.kill_switch import Killed
from components.types.release import (
    JudgeSettings,
    ModelRef,
    ModelRoute,
    PlacedModel,
    Role,
    RouterSnapshot,
    TrafficSplit,
)

JUDGE = JudgeSettings(threshold=50.0)


@pytest.fixture
def router(tmp_path: Path) -> RouterFile:
    return RouterFile(tmp_path / "gateway" / "router.json")


def placed(version: int, model: str = "taxi", digest: str = "") -> PlacedModel:
    return PlacedModel(ModelRef(model, version, digest or f"{version:064x}"), Path(f"/store/{version}"), "onnx")


def stand(router: RouterFile, split: TrafficSplit) -> ModelRoute:
    """Load whatever a split names, and route it."""
    for role in Role:
        if (version := split.version(role)) is not None:
            router.load(split.model, placed(version, split.model), role)
    return router.route(split, JUDGE)


def loaded(router: RouterFile, model: str = "taxi") -> set[str]:
    return set(router.route_of(model).loaded)


def test_a_router_that_was_never_written_serves_nothing(router: RouterFile) -> None:
    assert router.read() == RouterSnapshot(0, {})
    assert router.route_of("taxi").split == TrafficSplit("taxi", rev=0)
    assert not router.path.exists()


def test_what_was_routed_is_read_back_by_another_process(router: RouterFile) -> None:
    split = TrafficSplit("taxi", rev=4, stable=1, canary=2, weight=5)
    stand(router, split)
    found = record.read(RouterSnapshot, router.path).models["taxi"]
    assert found.split == split
    assert found.judge == JUDGE
    assert found.loaded == {"1": placed(1), "2": placed(2)}


def test_every_write_counts_and_doing_it_again_does_not(router: RouterFile) -> None:
    split = TrafficSplit("taxi", rev=1, stable=1)
    stand(router, split)
    before, text = router.read().sequence, router.path.read_text()
    stand(router, split)
    assert router.read().sequence == before == 2  # loaded, then routed
    assert router.path.read_text() == text


def test_a_lower_revision_is_refused_and_changes_nothing(router: RouterFile) -> None:
    stand(router, TrafficSplit("taxi", rev=7, stable=1))
    text = router.path.read_text()
    with pytest.raises(StaleRevisionError, match="revision 7; revision 6 came too late"):
        router.route(TrafficSplit("taxi", rev=6, stable=1), JUDGE)
    assert router.path.read_text() == text


def test_the_same_revision_with_another_split_is_refused(router: RouterFile) -> None:
    stand(router, TrafficSplit("taxi", rev=7, stable=1, canary=2, weight=5))
    text = router.path.read_text()
    with pytest.raises(StaleRevisionError, match="another split"):
        router.route(TrafficSplit("taxi", rev=7, stable=1, canary=2, weight=50), JUDGE)
    assert router.path.read_text() == text


def test_another_judge_at_the_same_revision_and_split_changes_nothing(router: RouterFile) -> None:
    split = TrafficSplit("taxi", rev=7, stable=1)
    stand(router, split)
    assert router.route(split, JudgeSettings(threshold=999.0)).judge == JUDGE


def test_models_are_fenced_on_their_own(router: RouterFile) -> None:
    stand(router, TrafficSplit("taxi", rev=90, stable=1))
    stand(router, TrafficSplit("adult", rev=1, stable=3))
    assert {name: route.split.rev for name, route in router.read().models.items()} == {"taxi": 90, "adult": 1}


def test_a_split_with_a_version_that_was_not_loaded_is_refused(router: RouterFile) -> None:
    stand(router, TrafficSplit("taxi", rev=1, stable=1))
    with pytest.raises(ConflictError, match="version 2 of taxi was not loaded"):
        router.route(TrafficSplit("taxi", rev=2, stable=2), JUDGE)
    assert router.route_of("taxi").split.rev == 1


def test_a_version_that_is_prepared_is_loaded_beside_the_split(router: RouterFile) -> None:
    stand(router, TrafficSplit("taxi", rev=1, stable=1))
    route = router.load("taxi", placed(2), Role.CANARY)
    assert set(route.loaded) == {"1", "2"}
    assert route.split == TrafficSplit("taxi", rev=1, stable=1)
    assert route.prepared == {"stable": 1, "canary": 2}


def test_preparing_another_version_for_a_role_lets_go_of_the_one_before(router: RouterFile) -> None:
    stand(router, TrafficSplit("taxi", rev=1, stable=1))
    router.load("taxi", placed(2), Role.CANARY)
    router.load("taxi", placed(3), Role.CANARY)
    assert loaded(router) == {"1", "3"}


def test_what_is_prepared_survives_a_split_that_does_not_name_it(router: RouterFile) -> None:
    stand(router, TrafficSplit("taxi", rev=1, stable=1))
    router.load("taxi", placed(2), Role.SHADOW)
    router.route(TrafficSplit("taxi", rev=2, stable=1), JUDGE)
    assert loaded(router) == {"1", "2"}


def test_what_neither_the_split_nor_a_role_needs_is_let_go_of(router: RouterFile) -> None:
    stand(router, TrafficSplit("taxi", rev=1, stable=1, canary=2, weight=5))
    stand(router, TrafficSplit("taxi", rev=2, stable=2))
    router.unload("taxi", Role.CANARY)
    assert loaded(router) == {"2"}


def test_unloading_twice_is_unloading_once(router: RouterFile) -> None:
    stand(router, TrafficSplit("taxi", rev=1, stable=1))
    router.load("taxi", placed(2), Role.CANARY)
    router.unload("taxi", Role.CANARY)
    text = router.path.read_text()
    router.unload("taxi", Role.CANARY)
    assert router.path.read_text() == text
    assert loaded(router) == {"1"}


@pytest.mark.parametrize("role", [Role.STABLE, Role.CANARY, Role.SHADOW, Role.PREVIOUS])
def test_what_the_split_names_is_not_unloaded(router: RouterFile, role: Role) -> None:
    stand(router, TrafficSplit("taxi", rev=1, stable=1, canary=2, shadow=3, previous=4, weight=5))
    with pytest.raises(ConflictError, match=f"is the {role.value} at revision 1"):
        router.unload("taxi", role)
    assert loaded(router) == {"1", "2", "3", "4"}


def test_unloading_from_a_model_that_is_not_there_makes_no_file(router: RouterFile) -> None:
    router.unload("taxi", Role.CANARY)
    assert not router.path.exists()


def test_a_version_with_other_bytes_than_the_loaded_ones_is_refused(router: RouterFile) -> None:
    stand(router, TrafficSplit("taxi", rev=1, stable=1))
    text = router.path.read_text()
    with pytest.raises(DigestMismatchError, match="a version never changes its bytes"):
        router.load("taxi", placed(1, digest="f" * 64), Role.CANARY)
    assert router.path.read_text() == text


def test_a_version_of_another_model_is_not_loaded(router: RouterFile) -> None:
    with pytest.raises(BadInputError, match="is of model adult"):
        router.load("taxi", placed(1, "adult"), Role.STABLE)
    assert not router.path.exists()


def test_a_store_that_moved_is_followed_without_a_new_revision(router: RouterFile) -> None:
    stand(router, TrafficSplit("taxi", rev=1, stable=1))
    moved = replace(placed(1), directory=Path("/elsewhere/1"))
    assert router.load("taxi", moved, Role.STABLE).loaded["1"] == moved


@pytest.mark.parametrize(
    ("split", "words"),
    [
        (TrafficSplit("taxi", rev=0, stable=1), "revision 0"),
        (TrafficSplit("taxi", rev=1, stable=1, canary=2, weight=101), "expected 0 to 100"),
        (TrafficSplit("taxi", rev=1, stable=1, canary=2, weight=-1), "expected 0 to 100"),
        (TrafficSplit("taxi", rev=1, stable=1, weight=5), "no canary"),
        (TrafficSplit("taxi", rev=1, canary=1, weight=5), "no stable version"),
        (TrafficSplit("../taxi", rev=1, stable=1), "no model name"),
    ],
)
def test_a_split_that_cannot_be_one_is_refused(router: RouterFile, split: TrafficSplit, words: str) -> None:
    with pytest.raises(BadInputError, match=words):
        router.route(split, JUDGE)
    assert not router.path.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"sequence": 1}', '{"sequence": 1, "models": {"taxi": 3}}'])
def test_a_damaged_file_is_named_and_left_alone(router: RouterFile, text: str) -> None:
    router.path.parent.mkdir()
    router.path.write_text(text)
    for act in (
        router.read,
        lambda: router.load("taxi", placed(1), Role.STABLE),
        lambda: router.route(TrafficSplit("taxi", rev=1, stable=1), JUDGE),
        lambda: router.unload("taxi", Role.CANARY),
    ):
        with pytest.raises(FaultError, match=r"router\.json is not a router snapshot .* write it anew"):
            act()
    assert router.path.read_text() == text


def test_a_damaged_file_is_written_anew_and_kept_beside(router: RouterFile) -> None:
    router.path.parent.mkdir()
    router.path.write_text("{")
    split = TrafficSplit("taxi", rev=3, stable=1, previous=2)
    router.renew({"taxi": ModelRoute(split, {"1": placed(1), "2": placed(2), "9": placed(9)}, JUDGE)})
    assert router.route_of("taxi") == ModelRoute(split, {"1": placed(1), "2": placed(2)}, JUDGE)
    assert (router.path.parent / "router.json.damaged").read_text() == "{"


def test_writing_anew_keeps_what_is_further_and_what_it_does_not_name(router: RouterFile) -> None:
    stand(router, TrafficSplit("taxi", rev=5, stable=2))
    stand(router, TrafficSplit("adult", rev=1, stable=1))
    late = ModelRoute(TrafficSplit("taxi", rev=4, stable=1), {"1": placed(1)})
    iris = ModelRoute(TrafficSplit("iris", rev=1, stable=1), {"1": placed(1, "iris")})
    models = router.renew({"taxi": late, "iris": iris}).models
    assert {name: route.split.rev for name, route in models.items()} == {"taxi": 5, "adult": 1, "iris": 1}


def test_writing_anew_keeps_what_is_being_prepared(router: RouterFile) -> None:
    split = TrafficSplit("taxi", rev=1, stable=1)
    stand(router, split)
    router.load("taxi", placed(2), Role.CANARY)
    router.renew({"taxi": ModelRoute(split, {"1": placed(1)})})
    assert loaded(router) == {"1", "2"}


@pytest.mark.parametrize(
    ("name", "route", "error", "words"),
    [
        ("taxi", ModelRoute(TrafficSplit("taxi", 1, stable=1)), ConflictError, "not among those to be loaded"),
        ("taxi", ModelRoute(TrafficSplit("adult", 1)), BadInputError, "expected the same name"),
        ("taxi", ModelRoute(TrafficSplit("taxi", 6), {"1": placed(1, "adult")}), BadInputError, "is of model adult"),
        ("taxi", ModelRoute(TrafficSplit("taxi", 5), {}), StaleRevisionError, "another split"),
    ],
)
def test_writing_anew_refuses_what_is_not_whole(
    router: RouterFile, name: str, route: ModelRoute, error: type[Exception], words: str
) -> None:
    stand(router, TrafficSplit("taxi", rev=5, stable=2))
    text = router.path.read_text()
    with pytest.raises(error, match=words):
        router.renew({name: route})
    assert router.path.read_text() == text


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
        [sys.executable, "-c", code, str(router.path)], capture_output=True, text=True, check=True, timeout=60
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
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.strip() == "[]"
