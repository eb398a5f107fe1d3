"""Results come in order, whoever finishes first and whoever is lost; the cluster here is one in memory."""

import random

import pytest

from components.cluster.capacity import Request
from components.cluster.pool import TRIES, OrderedPool
from components.cluster.session import NodeLostError
from components.errors import InfrastructureError, SchemaError


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
        self._random = random.Random(1)

    def start(self, body, request):
        self.started.append(Actor(self))
        return self.started[-1]

    def stop(self, actor):
        self.stopped.append(actor)

    def ready(self, references, timeout_s):
        return [self._random.choice(references)]

    def get(self, reference):
        return reference.result() if isinstance(reference, Reference) else reference

    def work(self, number):
        if self.losses.get(number, 0):
            self.losses[number] -= 1
            raise NodeLostError("killed")
        if number < 0:
            raise SchemaError(f"row {-number} is wrong")
        return number * 10


def pool(cluster, size=3):
    return OrderedPool(cluster, Actor, Request(1.0), size, lambda *_: None, "prediction")


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
