"""Results come in order, whoever finishes first and whoever is lost; the cluster here is one in memory."""

import random

import pytest

from components.cluster.capacity import Request
from components.cluster.pool import TRIES, OrderedPool
from components.cluster.session import NodeLostError
from components.errors import ConfigError, InfrastructureError, SchemaError


class Reference:
    def __init__(self, actor, result):
        self.actor, self.result = actor, result


class Method:
    def __init__(self, actor, body):
        self._actor, self._body = actor, body

    def remote(self, *arguments):
        return Reference(self._actor, lambda: self._body(*arguments))


class Actor:
    def __init__(self, cluster):
        self.lost, self._cluster = False, cluster
        self.name = Method(self, lambda: "n")
        self.work = Method(self, cluster.work)


class Cluster:
    """Answers in any order, and loses the worker of a piece as often as it is told."""

    def __init__(self, losses=None):
        self.losses, self.started, self.stopped = dict(losses or {}), [], []
        self._random, self._looks = random.Random(1), 0
        self.full_looks, self.nodes_left_at = 0, None

    def start(self, body, request):
        self.started.append(Actor(self))
        return self.started[-1]

    def stop(self, actor):
        self.stopped.append(actor)

    def ready(self, references, timeout_s):
        self._looks += 1
        assert self._looks < 1000, "waits for ever"
        if self.nodes_left_at is not None or self._looks <= self.full_looks:
            return []
        return [self._random.choice(references)]

    def require_capacity(self, request, what, key):
        if self.nodes_left_at is not None and self._looks >= self.nodes_left_at:
            raise ConfigError(f"{what} asks for more than there is; lower `{key}`")

    def get(self, reference):
        return reference.result() if isinstance(reference, Reference) else reference

    def work(self, number):
        if self.losses.get(number, 0):
            self.losses[number] -= 1
            raise NodeLostError("killed")
        if number < 0:
            raise SchemaError(f"row {-number} is wrong")
        return number * 10


def pool(cluster, size=3, set_up=lambda *_: None):
    return OrderedPool(cluster, Actor, Request(1.0), size, set_up, "prediction", "runner.cpus")


def test_results_come_in_the_order_of_the_pieces():
    cluster = Cluster()
    assert list(pool(cluster).results((number,) for number in range(50))) == [number * 10 for number in range(50)]
    assert len(cluster.started) == 3
    assert {*cluster.stopped} == {*cluster.started}


def test_no_more_workers_are_asked_for_than_there_are_pieces():
    cluster = Cluster()
    assert list(pool(cluster, size=100).results(iter([(1,), (2,)]))) == [10, 20]
    assert len(cluster.started) == 2


def test_piece_of_a_lost_worker_is_done_by_another():
    cluster = Cluster(losses={4: TRIES - 1, 9: 1})
    assert list(pool(cluster).results((number,) for number in range(12))) == [number * 10 for number in range(12)]
    assert len(cluster.started) == 3 + TRIES


def test_piece_that_kills_whoever_takes_it_stops_the_whole():
    with pytest.raises(InfrastructureError, match="prediction lost one process after another"):
        list(pool(Cluster(losses={4: TRIES})).results((number,) for number in range(12)))


def test_first_error_in_the_order_of_the_pieces_is_raised():
    results = pool(Cluster()).results((number,) for number in [1, 2, -7, 3, -8])
    assert [next(results), next(results)] == [10, 20]
    with pytest.raises(SchemaError, match="row 7 is wrong"):
        next(results)


def test_error_in_reading_waits_for_its_turn():
    def pieces():
        yield (1,)
        yield (-2,)
        raise SchemaError("row 3 cannot be read")

    with pytest.raises(SchemaError, match="row 2 is wrong"):
        list(pool(Cluster()).results(pieces()))


def test_pool_gives_up_when_the_nodes_that_could_take_a_worker_leave():
    cluster = Cluster()
    results = pool(cluster).results((number,) for number in range(50))
    assert next(results) == 0
    cluster.nodes_left_at = 3

    with pytest.raises(InfrastructureError, match=r"the cluster lost nodes: prediction .* `runner.cpus`"):
        list(results)
    assert {*cluster.stopped} == {*cluster.started}


def test_long_wait_for_room_is_said_once(capsys):
    cluster = Cluster()
    cluster.full_looks = 40
    assert list(pool(cluster).results(iter([(1,)]))) == [10]
    assert capsys.readouterr().err == "prediction waits for room on the cluster\n"


def test_short_wait_for_room_is_not_worth_a_word(capsys):
    cluster = Cluster()
    cluster.full_looks = 3
    assert list(pool(cluster).results(iter([(1,)]))) == [10]
    assert capsys.readouterr().err == ""


def test_worker_that_is_set_up_slowly_holds_up_nobody():
    class Loads(Cluster):
        """Never finishes setting up its first worker."""

        def ready(self, references, timeout_s):
            others = [each for each in references if each.actor is not self.started[0] or each.result is not never]
            return super().ready(others, timeout_s) if others else []

    def never():
        raise AssertionError("waited for a set-up that is not ready")

    cluster = Loads()

    def set_up(session, actor):
        return Reference(actor, never if actor is cluster.started[0] else lambda: None)

    results = pool(cluster, set_up=set_up).results((number,) for number in range(20))
    assert list(results) == [number * 10 for number in range(20)]


def test_error_in_setting_up_a_worker_is_raised_and_every_worker_stopped():
    def set_up(session, actor):
        raise SchemaError("another version there")

    cluster = Cluster()
    with pytest.raises(SchemaError, match="another version there"):
        list(pool(cluster, set_up=set_up).results(iter([(1,), (2,)])))
    assert {*cluster.stopped} == {*cluster.started}
