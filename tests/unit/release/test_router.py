"""The router file: one writer at a time, every model fenced by its own revision, whole at every moment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from components.errors import (
    BadInputError,
    ConflictError,
    DigestMismatchError,
    FaultError,
    StaleRevisionError,
)
from components.release.router import RouterFile
from components.types import record
from components.types.release import JudgeSettings, ModelRoute, Role, RouterSnapshot, TrafficSplit
from tests.routes import JUDGE, loaded, placed, stand


@pytest.fixture
def router(tmp_path: Path) -> RouterFile:
    return RouterFile(tmp_path / "gateway" / "router.json")


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
