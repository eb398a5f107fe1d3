"""A wait on a lane that is stopped half way loses nothing of what goes over it."""

import socket
import threading

import pytest

from components.runtime.savedmodel import frames
from components.runtime.savedmodel.keeper import Wish
from components.runtime.savedmodel.lanes import Lane, LaneEndedError, LaneStoppedError


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    lane = Lane(ours)
    yield lane, theirs
    lane.close()
    theirs.close()


def stopped():
    stop = Wish()
    stop.terminate = True
    return stop


@pytest.mark.parametrize("read_bytes", [0, 5, frames.PREFIX.size, frames.PREFIX.size + 5])
def test_an_answer_of_which_a_part_was_read_is_read_to_its_end_and_the_next_one_is_whole(pair, read_bytes):
    lane, theirs = pair
    late = frames.pack({"number": 1})
    theirs.sendall(late[:read_bytes])
    with pytest.raises(LaneStoppedError):
        lane.receive(stopped())
    assert not lane.has_answer_within(0.0)
    theirs.sendall(late[read_bytes:])
    assert lane.has_answer_within(5)
    theirs.sendall(frames.pack({"number": 2}))
    assert lane.receive(Wish())[0] == {"number": 2}


def test_a_request_of_which_a_part_was_sent_is_sent_to_its_end(pair):
    lane, theirs = pair
    request, got = bytes(range(256)) * 40_000, bytearray()
    with pytest.raises(LaneStoppedError):
        lane.send(request, stopped())

    def serve():
        while len(got) < len(request):
            got.extend(theirs.recv(1 << 20))
        theirs.sendall(frames.pack({"number": 1}))

    server = threading.Thread(target=serve)
    server.start()
    assert lane.has_answer_within(10)
    server.join()
    assert got == request


class EndsIt:
    """A stop that is not one: while a prediction looks at it, somebody else ends the lane."""

    def __init__(self, lane):
        self._lane = lane

    @property
    def terminate(self):
        self._lane.end()
        return False


def test_whoever_waits_on_a_lane_that_another_one_ends_hears_that_the_server_is_gone(pair):
    lane, _ = pair
    with pytest.raises(LaneEndedError):
        lane.receive(EndsIt(lane))


def test_whoever_sends_on_a_lane_that_another_one_ends_hears_that_the_server_is_gone(pair):
    lane, _ = pair
    with pytest.raises(LaneEndedError):
        lane.send(bytes(40_000_000), EndsIt(lane))


def test_a_lane_may_be_ended_twice_and_after_it_was_closed(pair):
    lane, theirs = pair
    lane.end()
    theirs.close()
    lane.end()
    lane.close()
    lane.end()
