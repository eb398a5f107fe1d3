"""What every deployment target keeps, whoever serves behind it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from components.errors import (
    BadInputError,
    ConflictError,
    DigestMismatchError,
    FaultError,
    InfrastructureError,
    StaleRevisionError,
)
from components.types.release import ModelRef, Role, TrafficSplit
from tests.contract.targets.places import BROKEN, Place

Until = Callable[[Callable[[], bool]], None]


@pytest.fixture
def serving(place: Place, until: Until) -> Place:
    """Return a place where version 1 answers, at revision 1."""
    place.target.deploy(Role.STABLE, place.ref(1))
    place.target.route(split(place, 1, stable=1))
    until(lambda: place.target.traffic().rev == 1)
    return place


def split(place: Place, rev: int, **named: int) -> TrafficSplit:
    return TrafficSplit(place.model, rev, **named)


@contextmanager
def asking(place: Place) -> Iterator[list[int | Exception | None]]:
    """Ask who answers, without a pause, from another thread."""
    answers: list[int | Exception | None] = []
    enough = threading.Event()

    def ask() -> None:
        while not enough.is_set():
            try:
                answers.append(place.answering())
            except Exception as error:
                answers.append(error)
            enough.wait(0.001)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        enough.set()
        thread.join()


def test_where_nothing_was_routed_nothing_is_served(place: Place) -> None:
    assert place.target.traffic() == TrafficSplit(place.model, rev=0)
    assert place.target.judged() is None
    health = place.target.health(Role.STABLE, 60.0)
    assert (health.role, health.version, health.requests) == (Role.STABLE, None, 0)


def test_what_is_routed_answers_and_carries_its_revision(serving: Place) -> None:
    assert serving.target.traffic() == split(serving, 1, stable=1)
    assert serving.answering() == 1


def test_deploying_twice_is_deploying_once(serving: Place) -> None:
    serving.target.deploy(Role.CANARY, serving.ref(2))
    state = serving.state()
    serving.target.deploy(Role.CANARY, serving.ref(2))
    assert serving.state() == state


def test_deploying_moves_no_traffic(serving: Place) -> None:
    serving.target.deploy(Role.STABLE, serving.ref(2))
    assert serving.target.traffic() == split(serving, 1, stable=1)
    assert serving.answering() == 1


def test_the_stable_version_answers_while_others_are_deployed(serving: Place) -> None:
    with asking(serving) as answers:
        serving.target.deploy(Role.CANARY, serving.ref(2))
        serving.target.deploy(Role.SHADOW, serving.ref(3))
        serving.target.retire(Role.SHADOW)
        with pytest.raises(FaultError):
            serving.target.deploy(Role.CANARY, serving.ref(BROKEN))
    assert set(answers) == {1}


def test_a_version_without_traffic_answers_whoever_names_it(serving: Place) -> None:
    serving.target.deploy(Role.CANARY, serving.ref(2))
    rows = [0.0, 1.0, 2.0]
    for version in (1, 2):
        answers = serving.target.ask(version, [serving.request(x) for x in rows])
        assert {each.request for each in answers} == {0, 1, 2}
        for each in answers:
            assert each.status == 200, each.body
            assert json.loads(each.body)["outputs"][0]["data"] == [1000.0 * version + rows[each.request]]
    assert serving.target.traffic() == split(serving, 1, stable=1)


def test_a_version_that_was_not_deployed_has_no_answer(serving: Place) -> None:
    answers = serving.target.ask(3, [serving.request(0.0)])
    assert {each.status for each in answers} == {404}


def test_damaged_bytes_are_refused_and_nothing_moves(serving: Place) -> None:
    serving.damage(2)
    state = serving.state()
    with pytest.raises(DigestMismatchError):
        serving.target.deploy(Role.CANARY, serving.ref(2))
    assert serving.state() == state
    with pytest.raises(ConflictError, match="was not"):
        serving.target.route(split(serving, 2, stable=1, canary=2, weight=5))
    assert serving.answering() == 1


def test_damaged_bytes_of_what_is_served_are_found_when_it_is_deployed_again(serving: Place) -> None:
    serving.damage(1)
    state = serving.state()
    with pytest.raises(DigestMismatchError):
        serving.target.deploy(Role.STABLE, serving.ref(1))
    assert serving.state() == state
    assert serving.answering() == 1  # from memory, where the bytes are those that were checked


def test_a_version_that_does_not_load_is_a_fault_and_the_next_one_is_not_held_up(serving: Place) -> None:
    with pytest.raises(FaultError) as raised:
        serving.target.deploy(Role.CANARY, serving.ref(BROKEN))
    assert not isinstance(raised.value, InfrastructureError)
    with pytest.raises(ConflictError):
        serving.target.route(split(serving, 2, stable=1, canary=BROKEN, weight=5))
    serving.target.deploy(Role.CANARY, serving.ref(2))
    assert serving.answering() == 1


def test_a_version_that_was_not_deployed_gets_no_traffic(serving: Place) -> None:
    state = serving.state()
    with pytest.raises(ConflictError, match="version 3"):
        serving.target.route(split(serving, 2, stable=3))
    assert serving.state() == state


def test_what_is_of_another_model_is_refused(serving: Place) -> None:
    state = serving.state()
    with pytest.raises(BadInputError):
        serving.target.deploy(Role.CANARY, ModelRef("another", 1, serving.ref(1).digest))
    with pytest.raises(BadInputError):
        serving.target.route(TrafficSplit("another", 2, stable=1))
    assert serving.state() == state


def test_a_late_revision_and_another_split_at_the_same_one_are_refused(serving: Place, until: Until) -> None:
    serving.target.deploy(Role.CANARY, serving.ref(2))
    serving.target.route(split(serving, 5, stable=1, canary=2, weight=5))
    state = serving.state()
    for late in (split(serving, 4, stable=1), split(serving, 5, stable=1, canary=2, weight=50)):
        with pytest.raises(StaleRevisionError):
            serving.target.route(late)
    assert serving.state() == state
    until(lambda: serving.target.traffic() == split(serving, 5, stable=1, canary=2, weight=5))


def test_the_same_split_again_changes_nothing(serving: Place) -> None:
    state = serving.state()
    serving.target.route(split(serving, 1, stable=1))
    assert serving.state() == state


def test_traffic_moves_as_a_whole_and_nobody_goes_without_an_answer(serving: Place, until: Until) -> None:
    serving.target.deploy(Role.CANARY, serving.ref(2))
    seen: list[TrafficSplit] = []
    routed = [split(serving, 1, stable=1)]
    with asking(serving) as answers:
        for rev in range(2, 8):
            new, old = (2, 1) if rev % 2 == 0 else (1, 2)
            routed.append(split(serving, rev, stable=new, previous=old))
            serving.target.route(routed[-1])
            seen += [serving.target.traffic() for _ in range(3)]
            until(lambda: serving.target.traffic() == routed[-1])
            until(lambda new=new: answers[-1] == new)
    assert set(answers) == {1, 2}
    unknown = {TrafficSplit(serving.model, each.rev) for each in routed}
    assert set(seen) <= {*routed, *unknown}
    revs = [each.rev for each in seen]
    assert revs == sorted(revs)


def test_retiring_twice_is_retiring_once(serving: Place) -> None:
    serving.target.deploy(Role.CANARY, serving.ref(2))
    serving.target.retire(Role.CANARY)
    state = serving.state()
    serving.target.retire(Role.CANARY)
    assert serving.state() == state
    with pytest.raises(ConflictError):
        serving.target.route(split(serving, 2, stable=1, canary=2, weight=5))


def test_what_gets_traffic_is_not_retired(serving: Place, until: Until) -> None:
    for role, version in ((Role.CANARY, 2), (Role.SHADOW, 3)):
        serving.target.deploy(role, serving.ref(version))
    serving.target.route(split(serving, 2, stable=1, canary=2, shadow=3, weight=50))
    state = serving.state()
    for role in (Role.STABLE, Role.CANARY, Role.SHADOW):
        with pytest.raises(ConflictError):
            serving.target.retire(role)
    assert serving.state() == state
    until(lambda: serving.target.traffic().rev == 2)


def test_a_rollback_to_the_previous_version_needs_nothing_new(serving: Place, until: Until) -> None:
    serving.target.deploy(Role.STABLE, serving.ref(2))
    serving.target.route(split(serving, 2, stable=2, previous=1))
    until(lambda: serving.answering() == 2)
    serving.target.route(split(serving, 3, stable=1))
    until(lambda: serving.answering() == 1)
    until(lambda: serving.target.traffic() == split(serving, 3, stable=1))


def test_a_target_that_is_down_says_so_and_nothing_moves(serving: Place, until: Until) -> None:
    state = serving.state()
    serving.stop()
    try:
        for act in (
            lambda: serving.target.deploy(Role.CANARY, serving.ref(2)),
            serving.target.traffic,
            serving.target.judged,
            lambda: serving.target.ask(1, [serving.request(0.0)]),
            lambda: serving.target.health(Role.STABLE, 60.0),
        ):
            with pytest.raises(InfrastructureError):
                act()
        assert serving.state() == state
    finally:
        serving.start()
    until(lambda: serving.target.traffic() == split(serving, 1, stable=1))
    assert serving.answering() == 1
